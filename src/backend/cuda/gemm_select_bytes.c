#include "backend/cuda/gemm_select_bytes.h"

/* What the tiles sustained on an H200 with e4m3 (docs/performance-gpu.md): `rate`, TFLOP/s over a long depth, and what
 * the epilogue costs beside it, as so many more columns of depth, without a residual and with one. */
static const struct {
    clipc_gemm_plan plan;
    float rate;
    float epilogue;
    float residual_epilogue;
} variants[] = {
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 128, .ping_pong = true, .cluster = 1},
     1800,
     307,
     1060},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 64, .tile_columns = 256, .ping_pong = true, .cluster = 1}, 1127, 74, 263},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 256, .cluster = 1}, 1318, 200, 480},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 256, .tile_columns = 128, .cluster = 1}, 1318, 180, 560},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 64, .tile_columns = 128, .ping_pong = true, .cluster = 1}, 892, 60, 155},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 64, .tile_columns = 64, .ping_pong = true, .cluster = 1}, 724, 97, 25},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 128, .tile_columns = 128, .cluster = 1}, 400, 300, 300},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 64, .tile_columns = 128, .cluster = 1}, 340, 300, 300},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 64, .tile_columns = 64, .cluster = 1}, 280, 300, 300},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 32, .tile_columns = 64, .cluster = 1}, 180, 300, 300},
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

clipc_gemm_plan clipc_gemm_select_bytes(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                                        bool residual)
{
    const clipc_gemm_kind kind = device->architecture == 90 ? CLIPC_GEMM_SM90 : CLIPC_GEMM_SM80;
    clipc_gemm_plan best = {0};
    float lowest = 0;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        const clipc_gemm_plan *plan = &variants[i].plan;
        if (plan->kind != kind)
            continue;
        /* Whole waves of tiles, each at its tile's rate. */
        const int32_t tiles = divide_up(rows, plan->tile_rows) * divide_up(columns, plan->tile_columns);
        const int32_t waves = divide_up(tiles, device->multiprocessors);
        const float epilogue = residual ? variants[i].residual_epilogue : variants[i].epilogue;
        const float area = (float)(plan->tile_rows * plan->tile_columns);
        const float time = area / variants[i].rate * (float)waves * ((float)depth + epilogue);
        if (best.tile_rows != 0 && time >= lowest)
            continue;
        lowest = time;
        best = *plan;
    }
    clipc_gemm_fit(&best, device, rows, columns, depth);
    return best;
}
