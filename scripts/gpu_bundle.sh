#!/bin/sh
# A folder that runs on a machine with nothing but an NVIDIA driver and Python: the device programs, the distribution's
# libraries beside them, and the side-by-side scripts. Usage: gpu_bundle.sh BUILD FOLDER
set -eu
build=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder/lib"
for program in tests/device/check_kernels tests/device/check_towers tests/device/check_eval tests/device/bench_kernels clipc; do
    [ -x "$build/$program" ] || continue
    cp "$build/$program" "$folder/"
    strip "$folder/$(basename "$program")"
    ldd "$build/$program" | awk '/=> \// {print $3}' | grep -v -E '/(libc|libm|libdl|librt|libpthread)\.so' |
        while read -r library; do cp -L "$library" "$folder/lib/"; done
done
cp -r models/demo/eval "$folder/eval"
cp bench/peers_gpu.py bench/gemm_gpu.py "$folder/"
cat > "$folder/check.sh" <<'END'
#!/bin/sh
# Every device test; says so and leaves where there is no device.
cd "$(dirname "$0")" || exit 1
export LD_LIBRARY_PATH="$PWD/lib"
./check_kernels
status=$?
if [ $status -eq 77 ]; then
    exit 0
fi
[ $status -eq 0 ] && ./check_towers && CLIPC_CUDA_ARCH=sm80 ./check_towers && ./check_eval eval
END
chmod +x "$folder/check.sh"
du -sm "$folder"
