#!/bin/sh
# The steps of the Dockerfile, which also run where there is no Docker: deploy/try_image_steps.sh.
#
#     deploy/image_steps.sh libraries FOLDER    a virtual environment with what constraints.txt names
#     deploy/image_steps.sh program FOLDER      and the program in it, built of this source
#
# Of PyTorch either TORCH_INDEX (the address of its CPU-only index) or CUDA=1 is expected.
set -eu
step=$1
folder=$2
case "$step" in
libraries)
    if [ -z "${TORCH_INDEX:-}" ] && [ "${CUDA:-}" != 1 ]; then
        echo "expected TORCH_INDEX, the address of PyTorch's CPU-only index, or CUDA=1: see docs/install.md" >&2
        exit 2
    fi
    python3 -m venv "$folder"
    "$(dirname "$0")/install_locked.sh" "$folder/bin/python" constraints.txt
    ;;
program)
    "$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation .
    "$folder/bin/python" -m pip check
    "$folder/bin/batch-ser" --version
    ;;
*)
    echo "found the step $step, expected libraries or program" >&2
    exit 2
    ;;
esac
