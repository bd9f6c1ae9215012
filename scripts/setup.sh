#!/bin/sh
# Installs the Debian packages that are missing. Usage: setup.sh build|check|aarch64|cuda
#   build: what compiles the program; check: what the tests need besides; aarch64: what cross-builds and emulates;
#   cuda: what setup_cuda.sh needs besides.
set -eu

packages="gcc libc6-dev cmake ninja-build pkg-config libjpeg62-turbo-dev libspng-dev zlib1g-dev libwebp-dev libgif-dev
          libutf8proc-dev libjansson-dev libprotobuf-c-dev protobuf-c-compiler"
case "${1:-build}" in
build) ;;
cuda) packages="$packages g++ python3 python3-venv python3-pip" ;;
check) packages="$packages g++ clang libclang-rt-14-dev clang-format libcmocka-dev python3 python3-venv python3-pip man-db" ;;
aarch64) packages="gcc cmake ninja-build pkg-config protobuf-c-compiler python3 gcc-aarch64-linux-gnu
          qemu-user" ;;
*) echo "usage: setup.sh build|check|aarch64|cuda" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "This is no Debian, so nothing is installed; what is needed, by Debian's names:" $packages >&2
    exit 0
fi

missing=""
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo"
else
    echo "These packages are missing, and neither root nor sudo is here to install them:$missing" >&2
    exit 1
fi
echo "Installing:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # words are meant to split
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1
then
    cat "$log" >&2
    exit 1
fi
