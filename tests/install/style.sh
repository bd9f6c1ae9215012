#!/bin/sh
# The rules a machine can see: clang-format, file length, unfinished marks, banned functions. Usage: style.sh SOURCE_FOLDER
set -eu
cd "$1"
status=0
sources=$(find include src tools tests fuzz bench examples -name '*.[ch]')
# shellcheck disable=SC2086 # words are meant to split
clang-format --dry-run -Werror $sources || status=1
for file in $sources; do
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 700 ]; then
        echo "$file: $lines lines; is it still one idea?" >&2
        status=1
    fi
done
marks='\b(TODO|FIXME|XXX)\b'
banned='\b(strcpy|strcat|sprintf|gets|strtok|atoi|atol|atof|alloca)\('
in_library='\b(printf|puts|exit|abort|assert)\('
# shellcheck disable=SC2086
grep -nE "$marks|$banned" $sources && status=1
grep -rnE "$in_library" src --include='*.[ch]' | grep -vE '(vs|s)nprintf\(' | grep -vE '^src/model/.*_host\.c|static_assert\(' && status=1
# An image that is cut short while it is mapped would end the process (base/mapped_file.h).
grep -rn 'clipc_mapped_file_open' src/image src/api/image.c && status=1
exit $status
