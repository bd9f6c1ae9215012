#!/bin/sh
# Every device test, from the folder that gpu_bundle.sh makes; says so and leaves where there is no device. With a sanitizer
# at hand (compute-sanitizer), a small set under each of its tools, too: NO_SANITIZER=1 leaves them out.
# Usage: check_gpu.sh [FOLDER]
cd "${1:-$(dirname "$0")}" || exit 1
failed=0
run()
{
    echo "== $*"
    "$@"
    status=$?
    [ $status -ne 77 ] || { echo "no device: nothing was tested"; exit 0; }
    [ $status -eq 0 ] || failed=1
}
run ./check_engine
run ./check_files
run ./check_kernels
run ./check_layer_norm
run ./check_towers
run ./check_eval eval
run env CLIPC_CUDA_ARCH=sm80 ./check_towers
run env CLIPC_CUDA_ARCH=sm80 ./check_eval eval
run ./clipc devices
run ./clipc build @cuda:fp16 -o tuned.clipc --tune fast --timing-cache tuned.json
run ./clipc compare @cuda:fp16 tuned.clipc --atol 0 --rtol 0 --mark-all
run ./clipc compare @cpu:fp32 @cuda:fp16 --mark-all --min-cosine 0.999
run ./clipc debug precision @cuda:fp8 --accuracy-gate cos:0.999 --count 16
run ./clipc bench --arch ViT-B-32 --batch 64 --iterations 5 --explain
run python3 check_reports.py

# racecheck follows every access to shared memory, which takes time.
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [ -n "$sanitizer" ] && [ -z "${NO_SANITIZER:-}" ]; then
    for tool in memcheck initcheck synccheck; do
        run timeout 240 "$sanitizer" --tool $tool --error-exitcode 1 ./check_engine --short
    done
    run timeout 120 "$sanitizer" --tool memcheck --error-exitcode 1 ./check_kernels maps
    run timeout 120 "$sanitizer" --tool memcheck --error-exitcode 1 ./clipc bench --arch RN50 --batch 2 --warm-up 0 --iterations 1 --no-roofline
    run timeout 240 "$sanitizer" --tool racecheck --error-exitcode 1 ./check_engine --short
    run timeout 120 "$sanitizer" --tool racecheck --error-exitcode 1 ./clipc bench --batch 1 --warm-up 0 --iterations 1 --no-roofline
    for tool in memcheck racecheck; do
        run timeout 120 "$sanitizer" --tool $tool --error-exitcode 1 ./clipc bench models/clipa@cuda:fp16 --batch 3 --warm-up 0 --iterations 1 --no-roofline
    done
else
    echo "== compute-sanitizer is not here: nothing ran under it"
fi
[ $failed -eq 0 ] && echo "check-gpu: every part passed" || echo "check-gpu: FAILED"
exit $failed
