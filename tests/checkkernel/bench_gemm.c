#include "checkkernel/checkkernel.h"

#include "backend/cpu/gemm.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The most a thread reaches: tiles small enough for the first-level cache, over and over. */
struct peak {
    const clipc_kernels *kernels;
    clipc_dtype dtype;
    const void *a;
    const void *b;
    size_t repeats;
};

static void run_peak(void *context, size_t begin, size_t end, size_t thread)
{
    (void)begin;
    (void)end;
    (void)thread;
    const struct peak *peak = context;
    _Alignas(64) float out[CLIPC_TILE_ROWS_MAX * CLIPC_TILE_COLUMNS_MAX];
    const size_t rows = clipc_kernels_tile_rows(peak->kernels, peak->dtype);
    const size_t columns = clipc_kernels_tile_columns(peak->kernels, peak->dtype);
    for (size_t i = 0; i < peak->repeats; i++) {
        if (peak->dtype == CLIPC_DTYPE_I8)
            peak->kernels->i8.gemm_tile(rows, 6, peak->a, peak->b, (int32_t *)(void *)out, columns);
        else if (peak->dtype == CLIPC_DTYPE_BF16)
            peak->kernels->bf16.gemm_tile(rows, 6, peak->a, peak->b, out, columns);
        else
            peak->kernels->gemm_tile(rows, 6, peak->a, peak->b, out, columns);
    }
}

/* Seconds of the fastest of several runs. */
static double fastest(void (*run)(void *), void *context)
{
    double best = 1e9;
    const double give_up = seconds_now() + 1.0;
    for (int i = 0; i < 200 && (i < 5 || seconds_now() < give_up); i++) {
        const double begin = seconds_now();
        run(context);
        const double seconds = seconds_now() - begin;
        best = seconds < best ? seconds : best;
    }
    return best;
}

struct pool_and_peak {
    clipc_thread_pool *pool;
    struct peak peak;
};

static void run_peak_on_all(void *context)
{
    struct pool_and_peak *both = context;
    clipc_thread_pool_run(both->pool, run_peak, &both->peak, clipc_thread_pool_threads(both->pool), 1);
}

struct product {
    clipc_thread_pool *pool;
    clipc_gemm gemm;
};

static void run_product(void *context)
{
    struct product *product = context;
    clipc_gemm_run(product->pool, &product->gemm);
}

static float *random_array(check *c, size_t count)
{
    float *values = clipc_allocate_aligned(count, sizeof *values);
    if (!values)
        exit(2);
    for (size_t i = 0; i < count; i++)
        values[i] = random_normal(c);
    return values;
}

static double measure_peak(const clipc_kernels *kernels, clipc_dtype dtype, clipc_thread_pool *pool)
{
    check c = {.kernels = kernels, .random = 1};
    const size_t rows = clipc_kernels_tile_rows(kernels, dtype);
    const size_t columns = clipc_kernels_tile_columns(kernels, dtype);
    float *a = random_array(&c, 6 * CLIPC_BLOCK * rows);
    float *b = random_array(&c, 6 * CLIPC_BLOCK * columns);
    struct pool_and_peak both = {pool, {kernels, dtype, a, b, 1000}};
    const double depth = (double)(sizeof(float) / clipc_dtype_size(dtype));
    const double operations =
        2.0 * 6 * CLIPC_BLOCK * depth * (double)(rows * columns) * 1000 * (double)clipc_thread_pool_threads(pool);
    const double rate = operations / fastest(run_peak_on_all, &both) * 1e-9;
    clipc_free_aligned(a);
    clipc_free_aligned(b);
    return rate;
}

static double measure_shape(const clipc_kernels *kernels, clipc_dtype dtype, clipc_thread_pool *pool, size_t rows,
                            size_t inner, size_t outputs)
{
    check c = {.kernels = kernels, .random = 1};
    const clipc_packed_layout layout =
        clipc_packed_layout_make(dtype, clipc_kernels_tile_columns(kernels, dtype), 1, outputs, inner);
    const size_t columns = layout.panel_count * layout.panel_columns;
    size_t bytes = 0;
    if (!clipc_packed_bytes(&layout, &bytes))
        exit(2);
    float *a = random_array(&c, rows * layout.blocks * CLIPC_BLOCK);
    float *block = random_array(&c, bytes / sizeof(float));
    float *out = random_array(&c, rows * columns);
    clipc_row_scale *row_scales = calloc(rows, sizeof *row_scales);
    if (!row_scales)
        exit(2);
    const clipc_packed_weights weights = clipc_packed_weights_at(&layout, block);
    struct product product = {pool,
                              {.kernels = kernels,
                               .weights = &weights,
                               .panel_count = layout.panel_count,
                               .rows = a,
                               .row_blocks = layout.blocks,
                               .row_scales = row_scales,
                               .tiles = clipc_row_tiles_make(rows, clipc_kernels_tile_rows(kernels, dtype)),
                               .epilogue = CLIPC_EPILOGUE_BIAS,
                               .output = {.values = out, .row_length = columns}}};
    const double rate = 2e-9 * (double)rows * (double)inner * (double)outputs / fastest(run_product, &product);
    clipc_free_aligned(a);
    clipc_free_aligned(block);
    clipc_free_aligned(out);
    free(row_scales);
    return rate;
}

void bench_gemm(const clipc_kernels *kernels, clipc_dtype dtype, const char *shapes, size_t threads)
{
    clipc_thread_pool *pool = NULL;
    FILE *stream = fopen(shapes, "r");
    if (!stream || clipc_thread_pool_create(threads, &pool, NULL) != CLIPC_OK) {
        fprintf(stderr, "checkkernel: cannot open %s or start %zu threads\n", shapes, threads);
        exit(2);
    }
    const double peak = measure_peak(kernels, dtype, pool);
    printf("GEMM %s, %s, %zu threads; peak, from the first-level cache: %.1f GFLOP/s\n", clipc_dtype_name(dtype),
           clipc_cpu_level_name(dtype == CLIPC_DTYPE_BF16 ? kernels->bf16.level : kernels->level),
           clipc_thread_pool_threads(pool), peak);
    printf("%6s %6s %8s %10s %6s\n", "rows", "inner", "outputs", "GFLOP/s", "peak");
    char line[256];
    while (fgets(line, sizeof line, stream)) {
        size_t rows = 0;
        size_t inner = 0;
        size_t outputs = 0;
        if (sscanf(line, "%zu %zu %zu", &rows, &inner, &outputs) != 3)
            continue;
        const double rate = measure_shape(kernels, dtype, pool, rows, inner, outputs);
        printf("%6zu %6zu %8zu %10.1f %5.1f%%\n", rows, inner, outputs, rate, 100.0 * rate / peak);
    }
    fclose(stream);
    clipc_thread_pool_destroy(&pool);
}
