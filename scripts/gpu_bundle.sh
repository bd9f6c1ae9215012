#!/bin/sh
# A folder that runs on a machine with nothing but an NVIDIA driver and Python: the device programs, the libraries of the
# distribution that they load, the evaluation pictures as pixels, and the side-by-side scripts.
# Usage: gpu_bundle.sh BUILD FOLDER
set -eu
build=$1
folder=$2
programs=$build/tests/device
eval=models/demo/eval
rm -rf "$folder"
mkdir -p "$folder/lib" "$folder/eval"
cp "$programs/device_programs" "$folder/"
strip "$folder/device_programs"
for link in "$programs"/*; do
    [ ! -L "$link" ] || ln -s device_programs "$folder/$(basename "$link")"
done
ldd "$programs/device_programs" | awk '/=> \// {print $3}' | grep -v -E '/(libc|libm|libdl|librt|libpthread)\.so' |
    while read -r library; do cp -L "$library" "$folder/lib/"; done

# Full prompts, as scripts/eval.sh makes them; a label is its line there.
awk '{ print "a picture of " ($0 ~ /^[aeiou]/ ? "an" : "a") " " $0 }' "$eval/labels.txt" >"$folder/eval/prompts.txt"
awk -F '\t' 'FNR == NR { line[$1] = FNR - 1; next } { print line[$2] }' "$eval/labels.txt" "$eval/labels.tsv" \
    >"$folder/eval/labels.txt"
# shellcheck disable=SC2046 # words are meant to split
"$programs/write_eval" "$folder/eval/pixels.npy" $(awk -F '\t' -v folder="$eval" '{ print folder "/" $1 }' "$eval/labels.tsv")

cp bench/peers_gpu.py bench/gemm_gpu.py bench/resnet_gpu.py bench/gpu_timing.py scripts/check_gpu.sh \
    tests/device/check_reports.py tests/cli/trace_events.py "$folder/"
mkdir "$folder/models"
cp -r tests/golden/models/coca tests/golden/models/clipa tests/golden/models/eva "$folder/models/"
size=$(du -sm "$folder" | cut -f 1)
echo "$folder: $size MiB"
[ "$size" -le 60 ] || { echo "gpu_bundle.sh: more than 60 MiB" >&2; exit 1; }
