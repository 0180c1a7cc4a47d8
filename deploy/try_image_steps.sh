#!/bin/sh
# The image without Docker: its steps in an empty folder, and what its users will run.
#
#     TORCH_INDEX=... deploy/try_image_steps.sh FOLDER      or CUDA=1
#
# LIBRARIES=.venv/lib/python3.11/site-packages takes what is installed there instead of installing:
# the tests do this.
set -eu
folder=$1
[ ! -e "$folder" ] || { echo "$folder: expected a folder that does not exist yet" >&2; exit 2; }
mkdir -p "$folder/source" "$folder/data"
folder=$(cd "$folder" && pwd)
libraries=$(cd "${LIBRARIES:-/}" && pwd)
cd "$(dirname "$0")/.."
git archive HEAD | tar xf - -C "$folder/source"
cp examples/calls/*.wav examples/calls/*.mp3 "$folder/data"
cd "$folder/source"
if [ -n "${LIBRARIES:-}" ]; then
    python3 -m venv --without-pip "$folder/batch-ser"
    echo "$libraries" >"$(echo "$folder"/batch-ser/lib/python*/site-packages)/libraries.pth"
else
    deploy/image_steps.sh libraries "$folder/batch-ser"
fi
deploy/image_steps.sh program "$folder/batch-ser"
cd "$folder"
rm -r source # an image has no source: what is installed must do
batch-ser/bin/batch-ser run --input data --out results.parquet --engine inline
batch-ser/bin/batch-ser verify results.parquet
batch-ser/bin/python -c 'import gradio, fastapi, onnxruntime' # what serve and --model x.onnx need
du -sh batch-ser
