#!/bin/sh
# Installs what lock files name, with their hashes, and nothing else.
#
#     deploy/install_locked.sh PYTHON constraints.txt [constraints-dev.txt]
#
# PYTHON is that of a virtual environment. With TORCH_INDEX, the address of PyTorch's CPU-only index,
# torch and torchaudio come from there, in the same versions but without hashes, and no package of
# CUDA is installed: docs/install.md. PIP_OPTIONS=--no-compile is for an environment that stays
# writable, where Python compiles what it imports.
set -eu
python=$1
shift
pip="$python -m pip --disable-pip-version-check install --quiet --no-deps ${PIP_OPTIONS:-}"
if [ -z "${TORCH_INDEX:-}" ]; then
    for file in "$@"; do set -- "$@" -r "$file"; shift; done
    exec $pip --require-hashes "$@"
fi
$pip --index-url "$TORCH_INDEX" $(grep -ohE '^(torch|torchaudio)==[^ ;]+' "$@")
rest=$(mktemp)
trap 'rm -f "$rest"' EXIT
# a package's lines are its name and, indented, its hashes
cat "$@" | awk '/^[^ ]/ { left = /^(torch|torchaudio|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } !left' >"$rest"
$pip --require-hashes -r "$rest"
