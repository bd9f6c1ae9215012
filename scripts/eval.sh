#!/bin/sh
# Classifies models/demo/eval with the demo model and its exact prompts, and prints top-1 and the agreement with what
# transformers predicted in fp32. Usage: eval.sh CLIPC [PRECISION [OPTION...]]
set -eu
clipc=$1
precision=${2:-fp32}
if [ $# -ge 2 ]; then shift 2; else shift; fi
eval=$(dirname "$0")/../models/demo/eval
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Full prompts, "a picture of an insect", as the reference predictions were made with (recipe/scenes.py, article).
awk '{ print "a picture of " ($0 ~ /^[aeiou]/ ? "an" : "a") " " $0 }' "$eval/labels.txt" > "$folder/prompts.txt"
"$clipc" classify "$eval/images" --labels-file "$folder/prompts.txt" --template "{}" --top 1 --json --quiet \
    --precision "$precision" "$@" > "$folder/results.jsonl"

awk -v precision="$precision" '
    FNR == 1 { file++ }
    file == 1 { label[$1] = $2; next }
    file == 2 { reference[$1] = $2; next }
    {
        image = $0
        sub(/^.*"image": *"/, "", image)
        sub(/".*$/, "", image)
        sub(/^.*\//, "images/", image)
        predicted = $0
        sub(/^.*"label": *"a picture of an? /, "", predicted)
        sub(/".*$/, "", predicted)
        if (!(image in label)) {
            print "eval: unexpected result: " $0 > "/dev/stderr"
            exit 1
        }
        images++
        correct += predicted == label[image]
        agreeing += predicted == reference[image]
    }
    END {
        for (image in label)
            expected++
        if (images != expected) {
            print "eval: " images + 0 " results for " expected " images" > "/dev/stderr"
            exit 1
        }
        printf "%s: top-1 %d/%d = %.1f %%, agreement with transformers fp32 %d/%d = %.1f %%\n", precision,
            correct, images, 100 * correct / images, agreeing, images, 100 * agreeing / images
    }' FS='\t' "$eval/labels.tsv" "$eval/reference_predictions.tsv" "$folder/results.jsonl"
