#!/bin/sh
# Finds nvcc, or installs it from NVIDIA's Python wheels into a folder of its own: FOLDER/bin/nvcc. The driver is not
# needed to build. Usage: setup_cuda.sh FOLDER; prints the path of nvcc.
set -eu
folder=$1
for program in "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" "$(command -v nvcc || true)"; do
    if [ -n "$program" ] && [ -x "$program" ]; then
        echo "$program"
        exit 0
    fi
done
scripts/python_venv.sh "$folder" scripts/requirements-cuda.txt >&2
for program in "$folder"/lib/python3*/site-packages/nvidia/cu*/bin/nvcc; do
    if [ -x "$program" ]; then
        echo "$(cd "$(dirname "$program")" && pwd)/nvcc"
        exit 0
    fi
done
echo "setup_cuda.sh: the wheels were installed, but hold no nvcc" >&2
exit 1
