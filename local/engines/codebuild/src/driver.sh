# Runs a build's commands, one file after the other, in one shell, as CodeBuild does for
# buildspec version 0.2: variables, functions and the directory live on from command to command.
#
# Reads the paths of command files from standard input. After each command it writes a line
# <RS><mark> <exit status> to the output, so that status and output stay in order.
# A command that ends the shell (exit, set -e) does not end the build: the shell restarts itself in
# the same process, hence the same process group, with what was saved.
__sb_mark=$1 __sb_state=$2 __sb_mode=$3 __sb_self=$4
set --
exec 9<&0 8>&1 0</dev/null 2>&1
__sb_save() {
  {
    builtin declare -p
    builtin declare -f
    builtin printf 'builtin cd -- %q\n' "$PWD"
  } >|"$__sb_state.new" 2>/dev/null && command mv -f -- "$__sb_state.new" "$__sb_state"
}
__sb_again() {
  __sb_save || :
  builtin printf '\036%s %s\n' "$__sb_mark" "$1" >&8
  exec bash --norc --noprofile "$__sb_self" "$__sb_mark" "$__sb_state" "$__sb_mode" "$__sb_self" \
    0<&9 1>&8 8>&- 9<&-
}
# Read-only variables of bash itself cannot be set again; nothing else in the file can fail.
if [ -s "$__sb_state" ]; then . "$__sb_state" 2>/dev/null; fi
trap '__sb_again $?' EXIT
[ "$__sb_mode" = posix ] && set -o posix
while IFS= builtin read -r -u 9 __sb_file; do
  . "$__sb_file"
  __sb_status=$?
  __sb_save || :
  builtin printf '\036%s %s\n' "$__sb_mark" "$__sb_status" >&8
done
trap - EXIT
exit 0
