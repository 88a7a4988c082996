#!/usr/bin/env bash
# Packs a directory, uploads it, and so starts the environment's pipeline.
#
#   ./scripts/trigger-pipeline.sh staging [DIR]
#   MONITOR_EXECUTION=true ./scripts/trigger-pipeline.sh production
#
# Everything is done by `signalbox trigger`; what it takes can be given after DIR, and its --help says the rest.
set -eu

if [ $# -eq 0 ]; then
    echo "usage: $0 ENVIRONMENT [DIR] [OPTION...]" >&2
    exit 2
fi

if command -v signalbox >/dev/null 2>&1; then
    exec signalbox trigger "$@"
fi

# DIR is meant from where the caller stands, so cargo is told where the project is instead of going there.
project=$(cd "$(dirname "$0")/.." && pwd)
if [ ! -f "$project/Cargo.toml" ]; then
    echo "signalbox is not on the PATH, and this is no checkout to build it from: run" >&2
    echo "\`cargo install --path cli\` in a checkout once, on this machine or on one like it" >&2
    exit 2
fi
exec cargo run --quiet --manifest-path "$project/Cargo.toml" --bin signalbox -- trigger "$@"
