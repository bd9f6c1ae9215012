#include "backend/cuda/gemm_select_bytes.h"

/* What the tiles sustained on an H100 with e4m3 (docs/performance-gpu.md): `rate`, TFLOP/s over a long depth, and what
 * the epilogue costs beside it, as so many more columns of depth, by what it does (less than nothing where fewer bytes
 * go out); `tail`, the same once a launch, without a residual and with one. */
static const struct {
    clipc_gemm_plan plan;
    float rate;
    float epilogue;
    float activation_epilogue;
    float residual_epilogue;
    float tail;
    float residual_tail;
} variants[] = {
    {{CLIPC_GEMM_SM90, 128, 128, true, 1, 0}, 1500, 400, 170, 1700, 50, 1500},
    {{CLIPC_GEMM_SM90, 128, 128, true, 2, 0}, 1430, 130, 100, 1700, 900, 1500},
    {{CLIPC_GEMM_SM90, 64, 256, true, 1, 0}, 830, 30, 30, 100, 0, 0},
    {{CLIPC_GEMM_SM90, 128, 256, false, 1, 0}, 1303, 90, 100, 320, 300, 300},
    {{CLIPC_GEMM_SM90, 128, 96, false, 1, 0}, 1150, 200, 0, 500, 200, 300},
    {{CLIPC_GEMM_SM90, 64, 128, true, 1, 0}, 640, 0, 0, 0, 0, 0},
    {{CLIPC_GEMM_SM90, 64, 64, true, 1, 0}, 580, 0, 0, 0, 0, 0},
    {{CLIPC_GEMM_SM80, 128, 128, false, 1, 0}, 400, 300, 300, 300, 0, 0},
    {{CLIPC_GEMM_SM80, 64, 128, false, 1, 0}, 340, 300, 300, 300, 0, 0},
    {{CLIPC_GEMM_SM80, 64, 64, false, 1, 0}, 280, 300, 300, 300, 0, 0},
    {{CLIPC_GEMM_SM80, 32, 64, false, 1, 0}, 180, 300, 300, 300, 0, 0},
};
#define VARIANT_COUNT (sizeof variants / sizeof *variants)

static int32_t divide_up(int32_t value, int32_t by)
{
    return (value + by - 1) / by;
}

bool clipc_gemm_variant_bytes(size_t index, clipc_gemm_plan *out)
{
    if (index >= VARIANT_COUNT)
        return false;
    *out = variants[index].plan;
    return true;
}

bool clipc_gemm_takes_bytes(const clipc_gemm_plan *plan, bool activation)
{
    return !activation || plan->tile_columns % 64 == 0;
}

clipc_gemm_plan clipc_gemm_select_bytes(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                                        bool residual, bool activation)
{
    const clipc_gemm_kind kind = device->architecture == 90 ? CLIPC_GEMM_SM90 : CLIPC_GEMM_SM80;
    clipc_gemm_plan best = {0};
    float lowest = 0;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        const clipc_gemm_plan *plan = &variants[i].plan;
        if (plan->kind != kind || !clipc_gemm_takes_bytes(plan, activation))
            continue;
        /* Whole waves of tiles, each at its tile's rate. */
        const int32_t tiles = divide_up(rows, plan->tile_rows) * divide_up(columns, plan->tile_columns);
        const int32_t waves = divide_up(tiles, device->multiprocessors);
        const float epilogue = residual     ? variants[i].residual_epilogue
                               : activation ? variants[i].activation_epilogue
                                            : variants[i].epilogue;
        const float area = (float)(plan->tile_rows * plan->tile_columns);
        const float tail = residual ? variants[i].residual_tail : variants[i].tail;
        const float time = area / variants[i].rate * ((float)waves * ((float)depth + epilogue) + tail);
        if (best.tile_rows != 0 && time >= lowest)
            continue;
        lowest = time;
        best = *plan;
    }
    clipc_gemm_fit(&best, device, rows, columns, depth);
    return best;
}
