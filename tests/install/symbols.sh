#!/bin/sh
# The shared library exports exactly the names in exported_symbols.txt. Usage: symbols.sh libclipc.so
set -eu
here=$(dirname "$0")
nm -D --defined-only "$1" | awk '{ print $3 }' | LC_ALL=C sort | diff -u "$here/exported_symbols.txt" -
