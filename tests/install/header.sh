#!/bin/sh
# Each header of clipc compiles alone as C99, C11 and C++17, with nothing to warn about. Usage: header.sh INCLUDE_FOLDER
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for header in clipc tensors tuning; do
    echo "#include <clipc/$header.h>" >"$folder/alone.c"
    cp "$folder/alone.c" "$folder/alone.cpp"
    for compiler in gcc clang; do
        $compiler -std=c99 -pedantic -Wall -Wextra -Werror -I"$1" -fsyntax-only "$folder/alone.c"
        $compiler -std=c11 -pedantic -Wall -Wextra -Werror -I"$1" -fsyntax-only "$folder/alone.c"
    done
    g++ -std=c++17 -pedantic -Wall -Wextra -Werror -I"$1" -fsyntax-only "$folder/alone.cpp"
    clang++ -std=c++17 -pedantic -Wall -Wextra -Werror -I"$1" -fsyntax-only "$folder/alone.cpp"
done
