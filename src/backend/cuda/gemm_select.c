#include "backend/cuda/gemm_select.h"

#include <stdio.h>

/* What the tiles sustained (docs/performance-gpu.md; sm90 on an H100): `rate`, TFLOP/s over a long depth, and what the
 * epilogue costs beside it, as so many more columns of depth, without a residual and with one; `tail`, the same once a
 * launch, less than nothing where a launch of few tiles runs at a higher clock. */
static const struct {
    clipc_gemm_plan plan;
    float rate;
    float epilogue;
    float residual_epilogue;
    float tail;
} variants[] = {
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 256, .cluster = 2}, 897, 190, 460, 140},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 256, .cluster = 1}, 849, 190, 400, 40},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 192, .cluster = 1}, 807, 180, 410, -70},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 160, .cluster = 1}, 731, 230, 480, -100},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 128, .cluster = 1}, 758, 250, 480, -50},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 128, .tile_columns = 96, .cluster = 1}, 599, 120, 370, -30},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 256, .tile_columns = 128, .cluster = 1}, 772, 230, 630, -100},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 64, .tile_columns = 128, .cluster = 1}, 509, 190, 270, -100},
    {{.kind = CLIPC_GEMM_SM90, .tile_rows = 64, .tile_columns = 64, .cluster = 1}, 366, 90, 280, -100},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 128, .tile_columns = 128, .cluster = 1}, 260, 200, 200, 0},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 64, .tile_columns = 128, .cluster = 1}, 220, 200, 200, 0},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 64, .tile_columns = 64, .cluster = 1}, 180, 200, 200, 0},
    {{.kind = CLIPC_GEMM_SM80, .tile_rows = 32, .tile_columns = 64, .cluster = 1}, 120, 200, 200, 0},
    {{.kind = CLIPC_GEMM_SKINNY, .tile_rows = 16, .tile_columns = 64, .cluster = 8}, 0, 0, 0, 0},
    {{.kind = CLIPC_GEMM_SKINNY, .tile_rows = 32, .tile_columns = 64, .cluster = 8}, 0, 0, 0, 0},
    {{.kind = CLIPC_GEMM_SKINNY, .tile_rows = 48, .tile_columns = 64, .cluster = 8}, 0, 0, 0, 0},
    {{.kind = CLIPC_GEMM_SKINNY, .tile_rows = 64, .tile_columns = 64, .cluster = 8}, 0, 0, 0, 0},
};
#define VARIANT_COUNT (sizeof variants / sizeof *variants)

/* A skinny block holds its part of 64 + rows operand rows in shared memory at once, of at most this depth. */
#define SKINNY_SHARE 768
/* Few rows over a long depth are its own ground: elsewhere a small tile of the copy engine's kernel is faster. */
#define SKINNY_ROWS  64
#define SKINNY_DEPTH 1536

static int32_t divide_up(int32_t value, int32_t by)
{
    return (value + by - 1) / by;
}

bool clipc_gemm_variant(size_t index, clipc_gemm_plan *out)
{
    if (index >= VARIANT_COUNT)
        return false;
    *out = variants[index].plan;
    return true;
}

/* The fewest of 1, 2, 4 and 8 blocks over the depth whose parts fit, and at least 4 where there is enough for them. */
static int32_t skinny_cluster(int32_t depth)
{
    int32_t cluster = 1;
    while (cluster < 8 && (depth > SKINNY_SHARE * cluster || (cluster < 4 && depth >= 128 * cluster)))
        cluster *= 2;
    return cluster;
}

void clipc_gemm_fit(clipc_gemm_plan *plan, const clipc_gemm_device *device, int32_t rows, int32_t columns,
                    int32_t depth)
{
    const int32_t row_tiles = divide_up(rows, plan->tile_rows);
    const int32_t column_tiles = divide_up(columns, plan->tile_columns);
    if (plan->kind == CLIPC_GEMM_SKINNY) {
        plan->cluster = skinny_cluster(depth);
        plan->blocks = row_tiles * column_tiles * plan->cluster;
        return;
    }
    if (plan->kind != CLIPC_GEMM_SM90) {
        plan->blocks = row_tiles * column_tiles;
        return;
    }
    const int32_t clusters = divide_up(row_tiles, plan->cluster) * column_tiles;
    const int32_t most = device->multiprocessors / plan->cluster;
    plan->blocks = (clusters < most ? clusters : most) * plan->cluster;
}

/* Time, in no particular unit: whole waves of tiles, each at its tile's rate. */
static float cost(size_t index, const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                  bool residual)
{
    const clipc_gemm_plan *plan = &variants[index].plan;
    const float epilogue = residual ? variants[index].residual_epilogue : variants[index].epilogue;
    const int32_t clusters = divide_up(rows, plan->tile_rows * plan->cluster) * divide_up(columns, plan->tile_columns);
    const int32_t waves = divide_up(clusters, device->multiprocessors / plan->cluster);
    return (float)(plan->tile_rows * plan->tile_columns) / variants[index].rate *
           ((float)waves * ((float)depth + epilogue) + variants[index].tail);
}

static clipc_gemm_plan skinny_plan(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth)
{
    clipc_gemm_plan plan = {.kind = CLIPC_GEMM_SKINNY, .tile_columns = 64, .cluster = 1};
    plan.tile_rows = rows >= 64 ? 64 : divide_up(rows, 16) * 16;
    clipc_gemm_fit(&plan, device, rows, columns, depth);
    return plan;
}

clipc_gemm_plan clipc_gemm_select(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                                  bool residual)
{
    const bool hopper = device->architecture == 90;
    if (hopper && rows <= SKINNY_ROWS && depth > SKINNY_DEPTH && depth <= 8 * SKINNY_SHARE)
        return skinny_plan(device, rows, columns, depth);
    const clipc_gemm_kind kind = hopper ? CLIPC_GEMM_SM90 : CLIPC_GEMM_SM80;
    clipc_gemm_plan best = {0};
    float lowest = 0;
    for (size_t i = 0; i < VARIANT_COUNT; i++) {
        if (variants[i].plan.kind != kind || !clipc_gemm_takes(&variants[i].plan, columns))
            continue;
        const float time = cost(i, device, rows, columns, depth, residual);
        if (best.tile_rows != 0 && time >= lowest)
            continue;
        lowest = time;
        best = variants[i].plan;
    }
    clipc_gemm_fit(&best, device, rows, columns, depth);
    return best;
}

void clipc_gemm_plan_text(const clipc_gemm_plan *plan, char *text, size_t size)
{
    static const char *const kinds[] = {"sm80", "skinny", "sm90"};
    snprintf(text, size, "%s %dx%d%s, cluster %d, %d blocks", kinds[plan->kind], (int)plan->tile_rows,
             (int)plan->tile_columns, plan->ping_pong ? " ping-pong" : "", (int)plan->cluster, (int)plan->blocks);
}

bool clipc_gemm_takes(const clipc_gemm_plan *plan, int32_t columns)
{
    const bool any =
        (plan->tile_rows == 128 && plan->tile_columns == 128) || (plan->tile_rows == 64 && plan->tile_columns == 64);
    return plan->kind != CLIPC_GEMM_SM90 || columns % 32 == 0 || any;
}

int32_t clipc_gemm_part_width(const clipc_gemm_plan *plan)
{
    return plan->kind == CLIPC_GEMM_SM90 ? plan->tile_columns : 64; /* a warp has 64 columns */
}
