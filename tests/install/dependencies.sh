#!/bin/sh
# The program loads only libc, libm and the distribution's image, JSON and Unicode libraries (and what those load).
# Usage: dependencies.sh clipc
set -eu
allowed='linux-vdso|ld-linux|libc|libm|libjpeg|libspng|libz|libminiz|libwebp|libsharpyuv|libgif|libutf8proc|libjansson|libprotobuf-c'
others=$(ldd "$1" | awk '{ print $1 }' | grep -vE "(^|/)($allowed)[-.0-9a-z_]*\.so" || true)
if [ -n "$others" ]; then
    echo "unexpected libraries: $others" >&2
    exit 1
fi
