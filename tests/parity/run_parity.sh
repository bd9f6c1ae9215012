#!/bin/sh
# What `make check-parity` does once there is a Python with torch and transformers. Usage: run_parity.sh PYTHON BUILD
set -eu
python=$1
build=$2
here=$(dirname "$0")
cmake --build "$build" --target golden
"$python" "$here/network_parity.py" "$build/tests/golden/golden"
cmake --build "$build" --target resize_helper
"$python" -W ignore "$here/preprocess_reference.py" "$build/tests/parity/resize_helper"
cmake --build "$build" --target tokenizer_ids
"$python" "$here/pieces_construction.py" "$build/tests/parity/tokenizer_ids"
"$python" -W ignore "$here/tokenizer_sentencepiece.py" "$build/tests/parity/tokenizer_ids"
