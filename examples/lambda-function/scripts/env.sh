# Sourced by both buildspecs: settings and their defaults.
export ENVIRONMENT="${ENVIRONMENT:-staging}"
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}"
export FUNCTION_NAME="${FUNCTION_NAME:-lambda-function-$ENVIRONMENT}"
export ALIAS_NAME="${ALIAS_NAME:-live}"
# Tools and package caches that outlive a build. The local cloud names a directory; in AWS the project's
# cache keeps this one (see `cache` in buildspec.yml).
export TOOL_CACHE="${SIGNALBOX_TOOL_CACHE:-$HOME/.cache/lambda-function}"
export npm_config_cache="$TOOL_CACHE/npm"
export PIP_CACHE_DIR="$TOOL_CACHE/pip"
mkdir -p "$TOOL_CACHE" reports
