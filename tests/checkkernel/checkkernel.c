/* checkkernel [--seed N] [--level L]
 * checkkernel --bench [--level L] [--threads N] [--shapes FILE] [--architecture NAME] [--precision P]
 *
 * Compares every kernel variant that this processor can run with a reference in double precision; exit status 1 when
 * one differs. With --bench, times the best kernels: on the shapes of a file, and as whole towers with random weights.
 */
#include "checkkernel/checkkernel.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In units of 2^-24 (half an ulp of 1) times the scale that the check states. */
static const struct {
    const char *name;
    double factor;
} tolerances[TOLERANCE_COUNT] = {
    [TOLERANCE_F32_GEMM] = {"fp32 gemm", 1.0},
    [TOLERANCE_F32_EPILOGUE] = {"fp32 epilogue", 2.0},
    [TOLERANCE_F32_ACTIVATION] = {"fp32 activation", 6.0},
    [TOLERANCE_F32_LAYER_NORM] = {"fp32 layer norm", 8.0},
    [TOLERANCE_F32_SOFTMAX] = {"fp32 softmax", 6.0},
    [TOLERANCE_F32_ATTENTION] = {"fp32 attention", 4.0},
    [TOLERANCE_BF16_GEMM] = {"bf16 gemm", 1.0},
    [TOLERANCE_BF16_RESULT] = {"bf16 result", 65536.0 * 1.5}, /* 2^-8, of which rounding takes two thirds at most */
};

#define GUARD_BYTES   256
#define GUARD_PATTERN 0xA5

/* xorshift64*, Vigna 2016. */
uint64_t random_bits(check *c)
{
    c->random ^= c->random >> 12;
    c->random ^= c->random << 25;
    c->random ^= c->random >> 27;
    return c->random * 0x2545F4914F6CDD1Du;
}

float random_normal(check *c)
{
    double sum = 0.0;
    for (int i = 0; i < 4; i++)
        sum += (double)(random_bits(c) >> 40) / (double)(1 << 24) - 0.5;
    return (float)(sum * 1.732);
}

size_t random_below(check *c, size_t limit)
{
    return (size_t)(random_bits(c) >> 33) % limit;
}

guarded guarded_make(size_t count)
{
    const size_t bytes = clipc_round_up(count * sizeof(float), CLIPC_ALIGNMENT);
    unsigned char *block = clipc_allocate_aligned(1, bytes + 2 * GUARD_BYTES);
    if (!block) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    memset(block, GUARD_PATTERN, bytes + 2 * GUARD_BYTES);
    return (guarded){.values = (float *)(void *)(block + GUARD_BYTES), .count = count, .block = block};
}

void guarded_end(check *c, guarded *array, const char *what)
{
    const unsigned char *block = array->block;
    const size_t end = GUARD_BYTES + array->count * sizeof(float);
    const size_t total = clipc_round_up(array->count * sizeof(float), CLIPC_ALIGNMENT) + 2 * GUARD_BYTES;
    bool intact = true;
    for (size_t i = 0; i < total; i++)
        intact = intact && (block[i] == GUARD_PATTERN || (i >= GUARD_BYTES && i < end));
    expect_true(c, intact, what);
    clipc_free_aligned(array->block);
}

static void report(check *c, const char *what)
{
    c->failures++;
    if (c->failures <= 20)
        printf("FAIL %s at %s\n", what, clipc_cpu_level_name(c->kernels->level));
}

void expect_true(check *c, bool condition, const char *what)
{
    c->comparisons++;
    if (!condition)
        report(c, what);
}

void expect(check *c, tolerance kind, double actual, double expected, double scale, const char *what)
{
    c->comparisons++;
    if (!isfinite(expected)) {
        if (isnan(expected) ? !isnan(actual) : actual != expected)
            report(c, what);
        return;
    }
    const double limit = tolerances[kind].factor * 0x1p-24 * scale + 0x1p-120;
    const double share = fabs(actual - expected) / limit;
    if (!(share <= 1.0)) {
        report(c, what);
        if (c->failures <= 20)
            printf("  got %.9g, expected %.9g, %.2f × the tolerance of %s\n", actual, expected, share,
                   tolerances[kind].name);
    }
    if (share > c->worst[kind])
        c->worst[kind] = share;
}

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static size_t check_level(clipc_cpu_level level, uint64_t seed)
{
    clipc_kernels kernels;
    clipc_kernels_fill(&kernels, level);
    const bool fp32 = kernels.level == level;
    const bool bf16 = kernels.bf16.level == level;
    const bool int8 = kernels.i8.level == level;
    if (!fp32 && !bf16 && !int8)
        return 0; /* nothing new at this level */
    check c = {.kernels = &kernels, .random = seed * 2 + 1};
    clipc_thread_pool *pool = NULL;
    if (clipc_thread_pool_create(3, &pool, NULL) != CLIPC_OK)
        exit(2);
    if (fp32) {
        check_gemm_tile(&c, CLIPC_DTYPE_F32);
        check_epilogues(&c);
        check_layer_norm(&c);
        check_softmax(&c);
        check_pack(&c);
        check_product(&c, pool, CLIPC_DTYPE_F32);
        check_attention(&c, pool, CLIPC_DTYPE_F32);
        check_pooled(&c, pool, CLIPC_DTYPE_F32);
        check_copy_lines(&c);
        check_average(&c, CLIPC_DTYPE_F32);
        check_convolution(&c, pool, CLIPC_DTYPE_F32);
    }
    if (bf16) {
        check_gemm_tile(&c, CLIPC_DTYPE_BF16);
        check_lines_bf16(&c);
        check_product(&c, pool, CLIPC_DTYPE_BF16);
        check_attention(&c, pool, CLIPC_DTYPE_BF16);
        check_pooled(&c, pool, CLIPC_DTYPE_BF16);
        check_average(&c, CLIPC_DTYPE_BF16);
        check_convolution(&c, pool, CLIPC_DTYPE_BF16);
    }
    if (int8)
        check_i8(&c);
    clipc_thread_pool_destroy(&pool);
    printf("%-12s %8zu comparisons, %zu failures; worst share of the tolerance:", clipc_cpu_level_name(level),
           c.comparisons, c.failures);
    for (int kind = 0; kind < TOLERANCE_COUNT; kind++)
        printf(" %s %.2f%s", tolerances[kind].name, c.worst[kind], kind + 1 < TOLERANCE_COUNT ? "," : "\n");
    return c.failures;
}

struct arguments {
    bool bench;
    uint64_t seed;
    const char *level;
    size_t threads;
    const char *shapes;
    const char *architecture;
    const char *precision;
};

static bool parse(int count, char **values, struct arguments *arguments)
{
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? values[i + 1] : NULL;
        if (strcmp(values[i], "--bench") == 0) {
            arguments->bench = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(values[i], "--seed") == 0)
            arguments->seed = strtoull(value, NULL, 10);
        else if (strcmp(values[i], "--level") == 0)
            arguments->level = value;
        else if (strcmp(values[i], "--threads") == 0)
            arguments->threads = strtoul(value, NULL, 10);
        else if (strcmp(values[i], "--shapes") == 0)
            arguments->shapes = value;
        else if (strcmp(values[i], "--architecture") == 0)
            arguments->architecture = value;
        else if (strcmp(values[i], "--precision") == 0)
            arguments->precision = value;
        else
            return false;
        i++;
    }
    return true;
}

int main(int count, char **values)
{
    struct arguments arguments = {.seed = (uint64_t)time(NULL),
                                  .threads = 1,
                                  .shapes = CLIPC_SHAPES,
                                  .architecture = "ViT-B-32",
                                  .precision = "fp32"};
    clipc_cpu_level best = CLIPC_CPU_C;
    clipc_cpu_level level = CLIPC_CPU_C;
    clipc_error error = {0};
    if (!parse(count, values, &arguments)) {
        fprintf(stderr, "usage: checkkernel [--bench] [--seed N] [--level L] [--threads N] [--shapes FILE] "
                        "[--architecture NAME] [--precision P]\n");
        return 2;
    }
    if (clipc_cpu_level_detect(&best, &error) != CLIPC_OK ||
        (arguments.level && clipc_cpu_level_parse(arguments.level, &level, &error) != CLIPC_OK)) {
        fprintf(stderr, "checkkernel: %s\n", error.message);
        return 2;
    }
    if (arguments.level && level < best)
        best = level;
    if (arguments.bench) {
        clipc_precision precision = CLIPC_PRECISION_FP32;
        while (strcmp(clipc_precision_name(precision), arguments.precision) != 0 && precision < CLIPC_PRECISION_FP8)
            precision++;
        clipc_kernels kernels;
        clipc_kernels_fill(&kernels, best);
        bench_lines(&kernels);
        const clipc_dtype dtype = precision == CLIPC_PRECISION_BF16   ? CLIPC_DTYPE_BF16
                                  : precision == CLIPC_PRECISION_INT8 ? CLIPC_DTYPE_I8
                                                                      : CLIPC_DTYPE_F32;
        bench_gemm(&kernels, dtype, arguments.shapes, arguments.threads);
        bench_towers(arguments.architecture, precision, best, arguments.threads);
        return 0;
    }
    printf("seed %llu\n", (unsigned long long)arguments.seed);
    size_t failures = 0;
    for (int at = CLIPC_CPU_C; at <= (int)best; at++)
        failures += check_level((clipc_cpu_level)at, arguments.seed);
    return failures ? 1 : 0;
}
