/* What the checks share: random data, guarded arrays, the table of tolerances, and the count of failures. */
#ifndef CLIPC_TESTS_CHECKKERNEL_H
#define CLIPC_TESTS_CHECKKERNEL_H

#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"

#include <stdbool.h>
#include <stdint.h>

/* How far a result may be from the reference in double precision: |difference| ≤ factor × 2^-24 × scale, where scale
 * is what the check states for its operation. */
typedef enum tolerance {
    TOLERANCE_F32_GEMM,       /* scale: Σ |a b| × (2 + √terms): a short sum errs by a rounding or two of its own */
    TOLERANCE_F32_EPILOGUE,   /* scale: |result|; from integers Σ |terms| × 2, for twice as many roundings */
    TOLERANCE_F32_ACTIVATION, /* scale: |x| */
    TOLERANCE_F32_LAYER_NORM, /* scale: (|normal| + |mean| / deviation) × |weight| + |bias| */
    TOLERANCE_F32_SOFTMAX,    /* scale: (1 + |exponent|) × |result| */
    TOLERANCE_F32_ATTENTION,  /* scale: Σ weight |value| × sqrt(tokens + head width) */
    TOLERANCE_BF16_GEMM,      /* like fp32's, on inputs that are bf16 */
    TOLERANCE_BF16_RESULT,    /* of operations that end in bf16, scale: what the same operation states for fp32 */
    TOLERANCE_COUNT
} tolerance;

typedef struct check {
    const clipc_kernels *kernels;
    uint64_t random;
    size_t failures;
    size_t comparisons;
    double worst[TOLERANCE_COUNT]; /* error as a share of the tolerance */
} check;

uint64_t random_bits(check *c);
float random_normal(check *c); /* about -3 … 3 */
size_t random_below(check *c, size_t limit);

/* An array of `count` floats, aligned as kernels expect, between guard bytes. */
typedef struct guarded {
    float *values;
    size_t count;
    void *block;
} guarded;

guarded guarded_make(size_t count);
/* Fails the check when a guard byte was changed, and frees. */
void guarded_end(check *c, guarded *array, const char *what);

/* Records one comparison. NaN and infinity must be matched exactly by kind. */
void expect(check *c, tolerance kind, double actual, double expected, double scale, const char *what);
void expect_true(check *c, bool condition, const char *what);

/* What an epilogue that is no residual makes of x. */
double activation_reference(clipc_epilogue kind, double x);
/* Column `column` of a row of bf16 in blocks. */
double half_at(const guarded *out, size_t row_offset, size_t column, size_t block_stride);

/* Monotonic. */
double seconds_now(void);

void check_gemm_tile(check *c, clipc_dtype dtype);
void check_epilogues(check *c);
void check_layer_norm(check *c);
void check_lines_bf16(check *c);
void check_i8(check *c);
void check_pack(check *c);
void check_softmax(check *c);
void check_product(check *c, clipc_thread_pool *pool, clipc_dtype dtype);
void check_attention(check *c, clipc_thread_pool *pool, clipc_dtype dtype);
void check_pooled(check *c, clipc_thread_pool *pool, clipc_dtype dtype);

void check_copy_lines(check *c);
void check_average(check *c, clipc_dtype dtype);
void check_convolution(check *c, clipc_thread_pool *pool, clipc_dtype dtype);

void bench_gemm(const clipc_kernels *kernels, clipc_dtype dtype, const char *shapes, size_t threads);
void bench_towers(const char *architecture, clipc_precision precision, clipc_cpu_level level, size_t threads);
void bench_lines(const clipc_kernels *kernels);

#endif
