#!/bin/sh
# Makes a Python environment with the wheels of a requirements file. Usage: python_venv.sh FOLDER REQUIREMENTS
# Does nothing when the folder was already made from that very file.
set -eu
folder=$1
requirements=$2
if cmp -s "$requirements" "$folder/requirements.txt"; then
    exit 0
fi
echo "Making the Python environment $folder"
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$folder/requirements.txt"
