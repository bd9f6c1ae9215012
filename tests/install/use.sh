#!/bin/sh
# Installs into an empty folder, builds examples/classify.c against it by find_package and by pkg-config, and runs it.
# Usage: use.sh BUILD_FOLDER SOURCE_FOLDER
set -eu
build=$1
source=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$build" --prefix "$folder/prefix" >"$folder/install.log"

check_answer() {
    first=$("$1" "$source/models/demo/samples/cat.png" cat dog horse | sort -rn | head -1)
    case "$first" in
    *cat) ;;
    *) echo "$1 answered: $first" >&2; exit 1 ;;
    esac
}

mkdir "$folder/package"
cat >"$folder/package/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(example C)
find_package(clipc 0.1 REQUIRED COMPONENTS static)
add_executable(static "$source/examples/classify.c")
target_link_libraries(static PRIVATE clipc::clipc_static)
END
cmake -S "$folder/package" -B "$folder/package/build" -DCMAKE_PREFIX_PATH="$folder/prefix" >"$folder/cmake.log"
cmake --build "$folder/package/build" >>"$folder/cmake.log"
check_answer "$folder/package/build/static"

# The shared library asks for no development files of others.
mkdir "$folder/shared"
cat >"$folder/shared/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.22)
project(example C)
find_package(clipc 0.1 REQUIRED)
add_executable(shared "$source/examples/classify.c")
target_link_libraries(shared PRIVATE clipc::clipc)
END
PKG_CONFIG_LIBDIR=/nowhere cmake -S "$folder/shared" -B "$folder/shared/build" -DCMAKE_PREFIX_PATH="$folder/prefix" \
    >"$folder/cmake.log"
cmake --build "$folder/shared/build" >>"$folder/cmake.log"
check_answer "$folder/shared/build/shared"

libraries=$(find "$folder/prefix" -name libclipc.so -printf '%h')
PKG_CONFIG_PATH="$libraries/pkgconfig"
export PKG_CONFIG_PATH
# shellcheck disable=SC2046 # words are meant to split
gcc "$source/examples/classify.c" -o "$folder/by_pkg_config" $(pkg-config --cflags --libs clipc)
LD_LIBRARY_PATH="$libraries"
export LD_LIBRARY_PATH
check_answer "$folder/by_pkg_config"

# The installed program needs no file beside it.
cd "$folder"
"$folder/prefix/bin/clipc" classify "$source/models/demo/samples/cat.png" --labels cat,dog --json | grep -q '"label": *"cat"'
if command -v man >/dev/null; then
    man --warnings -l "$folder/prefix/share/man/man1/clipc.1" >/dev/null
fi
