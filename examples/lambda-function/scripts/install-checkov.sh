# Sourced: installs Checkov into a virtual environment of its own, once, and names it in CHECKOV.
# Where it cannot be installed the build goes on, and scan.mjs reports the scan as not run.
checkov_venv="$TOOL_CACHE/checkov-$(python3 - scripts/requirements-scan.txt <<'PY'
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.version.encode()).hexdigest()[:12])
PY
)"
if [ ! -x "$checkov_venv/bin/python" ]; then
  # Made beside its place and then renamed, so that a build that is stopped leaves nothing half done and
  # two builds at a time do not disturb each other. A renamed environment works through its python.
  checkov_new="$checkov_venv.$$"
  if python3 -m venv "$checkov_new" &&
    "$checkov_new/bin/python" -m pip install --quiet --disable-pip-version-check \
      --requirement scripts/requirements-scan.txt; then
    # There may be one whose Python has gone from this machine, or one that another build just made.
    [ -x "$checkov_venv/bin/python" ] || rm -rf "$checkov_venv"
    [ -e "$checkov_venv" ] || mv "$checkov_new" "$checkov_venv"
    rm -rf "$checkov_new"
  else
    echo "Checkov could not be installed"
    rm -rf "$checkov_new"
  fi
fi
export CHECKOV="$checkov_venv/bin/python -m checkov.main"
