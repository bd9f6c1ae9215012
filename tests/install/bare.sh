#!/bin/sh
# The program is configured where only what `scripts/setup.sh build` installs is found: no cmocka, no Python, no nvcc.
# Usage: bare.sh SOURCE_DIR
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/pkg-config" <<'END'
#!/bin/sh
case " $* " in
*" cmocka "*) exit 1 ;;
*) exec pkg-config "$@" ;;
esac
END
chmod +x "$work/pkg-config"
no_cuda=""
for folder in $(echo "$PATH:/usr/local/bin:/usr/local/cuda/bin:${CUDA_HOME:-/usr/local/cuda}/bin" | tr ':' ' '); do
    [ ! -x "$folder/nvcc" ] || no_cuda="$no_cuda;$folder"
done
cmake -S "$source" -B "$work/build" -G Ninja -DCMAKE_IGNORE_PATH="$no_cuda" -DPKG_CONFIG_EXECUTABLE="$work/pkg-config" \
      -DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -q "The cuda backend is left out" "$work/log" || { echo "nvcc was found after all, or its lack is not told"; exit 1; }
cmake --build "$work/build" --target help > "$work/targets"
for target in clipc_program clipc_shared clipc_pages; do
    grep -q "^$target:" "$work/targets" || { echo "$target cannot be built"; exit 1; }
done
if grep -q "^test_" "$work/targets"; then
    echo "cmocka was found after all"
    exit 1
fi
