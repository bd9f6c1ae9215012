#!/bin/sh
# Makes a folder with the aarch64 libraries and headers that clipc is built with, unpacked from Debian's packages: the
# machine's own packages and architectures stay as they are. Usage: aarch64_sysroot.sh FOLDER
set -eu

root=${1:?usage: aarch64_sysroot.sh FOLDER}
packages="libc6-dev libgcc-12-dev libjpeg62-turbo-dev libspng-dev zlib1g-dev libwebp-dev libgif-dev libutf8proc-dev
          libjansson-dev libprotobuf-c-dev libcmocka-dev"
complete=$root/complete # lists the packages it was made of
[ "$(cat "$complete" 2>/dev/null || true)" != "$packages" ] || exit 0

rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"
root=$(cd "$root" && pwd)
: >"$root/apt/status" # nothing counts as installed: what a package depends on comes with it
log=$root/apt/log
apt()
{
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false \
        -o APT::Sandbox::User= -o Debug::NoLocking=true -o Acquire::Languages=none -o Dir::State="$root/apt" \
        -o Dir::State::lists="$root/apt/lists" -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt" \
        -o Dir::Cache::archives="$root/apt/archives" "$@" >>"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}
echo "Fetching aarch64 libraries"
apt update
# shellcheck disable=SC2086 # words are meant to split
apt install --download-only -y $packages
for archive in "$root"/apt/archives/*.deb; do
    dpkg-deb --extract "$archive" "$root"
done
# Links to absolute places would leave the folder.
find "$root" -type l -lname '/*' | while read -r link; do
    ln -sfn "$root$(readlink "$link")" "$link"
done
rm -rf "$root/apt"
echo "$packages" >"$complete"
