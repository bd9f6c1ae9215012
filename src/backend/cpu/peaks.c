#include "backend/cpu/peaks.h"

#include "base/memory.h"

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* Each measurement is the best of several rounds: other programs can only make one slower. */
#define ROUNDS        12
#define ROUND_SECONDS 0.008
#define MEMORY_ROUNDS 3
#define MEMORY_BYTES  ((size_t)256 << 20) /* well beyond the last-level cache */
#define MEMORY_PIECE  ((size_t)4 << 20)
#define OPERAND_BITS  0x3F813F81u /* 1.0098 as fp32, twice 1.0078 as bf16, no byte zero */
#define FIRST_REPEATS 16
#define STARTS        200
#define MOST_STARTS   5000  /* where others keep the threads from running together */
#define START_SECONDS 50e-6 /* as long as one waits for the others */
#define LINES         (sizeof(struct line) / sizeof(uint64_t))

struct measurement {
    clipc_peak kernel;
    size_t repeats;
    const uint32_t *operands;
    uint32_t *sums; /* [threads][CLIPC_PEAK_UNITS] */
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- arithmetic ---- */

static void run_kernel(void *context, size_t begin, size_t end, size_t thread)
{
    const struct measurement *with = context;
    for (size_t i = begin; i < end; i++)
        with->kernel(with->repeats, with->operands, with->sums + thread * CLIPC_PEAK_UNITS);
}

/* Operations a second of all threads together; 0 without a kernel. */
static double measure_kernel(struct measurement *with, clipc_peak kernel, clipc_thread_pool *pool)
{
    if (!kernel)
        return 0;
    const double operations = kernel(1, with->operands, with->sums);
    const size_t threads = clipc_thread_pool_threads(pool);
    double best = 0;
    with->kernel = kernel;
    with->repeats = FIRST_REPEATS;
    for (int round = 0; round < ROUNDS; round++) {
        const double begin = now();
        clipc_thread_pool_run(pool, run_kernel, with, threads, 1);
        const double seconds = fmax(now() - begin, 1e-9);
        best = fmax(best, operations * (double)with->repeats * (double)threads / seconds);
        if (seconds < ROUND_SECONDS)
            with->repeats *= 2;
    }
    return best;
}

static clipc_peak choose_f32(clipc_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= CLIPC_CPU_AVX512)
        return clipc_peak_f32__avx512;
    if (level >= CLIPC_CPU_AVX2)
        return clipc_peak_f32__avx2;
#elif defined(__aarch64__)
    if (level >= CLIPC_CPU_NEON)
        return clipc_peak_f32__neon;
#endif
    (void)level;
    return clipc_peak_f32__c;
}

static clipc_peak choose_bf16(clipc_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= CLIPC_CPU_AVX512_BF16)
        return clipc_peak_bf16__avx512_bf16;
#elif defined(__aarch64__)
    if (level >= CLIPC_CPU_NEON_BF16)
        return clipc_peak_bf16__neon_bf16;
#endif
    (void)level;
    return NULL;
}

static clipc_peak choose_int8(clipc_cpu_level level)
{
#if defined(__x86_64__)
    if (level >= CLIPC_CPU_AVX512_VNNI)
        return clipc_peak_int8__avx512_vnni;
#elif defined(__aarch64__)
    if (level >= CLIPC_CPU_NEON_DOTPROD)
        return clipc_peak_int8__neon_dotprod;
#endif
    (void)level;
    return NULL;
}

static clipc_status measure_arithmetic(clipc_cpu_level level, clipc_thread_pool *pool, clipc_peaks *peaks,
                                       clipc_error *error)
{
    const size_t units = (clipc_thread_pool_threads(pool) + 1) * CLIPC_PEAK_UNITS;
    uint32_t *operands = clipc_allocate_aligned(units, sizeof *operands);
    if (!operands)
        return clipc_fail_memory(error, units * sizeof *operands, "measuring peaks");
    memset(operands, 0, units * sizeof *operands);
    for (size_t i = 0; i < CLIPC_PEAK_UNITS; i++)
        operands[i] = OPERAND_BITS;
    struct measurement with = {.operands = operands, .sums = operands + CLIPC_PEAK_UNITS};
    peaks->fp32_operations = measure_kernel(&with, choose_f32(level), pool);
    peaks->bf16_operations = measure_kernel(&with, choose_bf16(level), pool);
    peaks->int8_operations = measure_kernel(&with, choose_int8(level), pool);
    clipc_free_aligned(operands);
    return CLIPC_OK;
}

/* ---- starting ---- */

struct starting {
    atomic_size_t arrived;
    size_t threads;
    double latest; /* when nobody waits any longer */
};

/* Until all threads are here, each with one of the pieces. */
static void meet(void *context, size_t begin, size_t end, size_t thread)
{
    (void)thread;
    struct starting *with = context;
    atomic_fetch_add(&with->arrived, end - begin);
    while (atomic_load(&with->arrived) < with->threads && now() < with->latest)
        continue;
}

/* Starts come one right after the other, as the steps of a tower do. */
static double measure_start(clipc_thread_pool *pool)
{
    double best = START_SECONDS;
    int met = 0;
    struct starting with = {.threads = clipc_thread_pool_threads(pool)};
    for (int i = 0; i < MOST_STARTS && met < STARTS; i++) {
        const double begin = now();
        atomic_store(&with.arrived, 0);
        with.latest = begin + START_SECONDS;
        clipc_thread_pool_run(pool, meet, &with, with.threads, 1);
        const double seconds = now() - begin;
        best = fmin(best, seconds);
        met += seconds < START_SECONDS;
    }
    return met ? best : 0;
}

/* ---- memory ---- */

struct line {
    uint64_t words[8];
};

struct memory {
    const struct line *lines;
    uint64_t *sums; /* [threads][LINES] */
};

/* Reads pieces of MEMORY_PIECE bytes; the sums keep the compiler from leaving that out. */
static void read_pieces(void *context, size_t begin, size_t end, size_t thread)
{
    const struct memory *memory = context;
    const size_t lines = MEMORY_PIECE / sizeof(struct line);
    struct line sums = {{0}};
    for (size_t i = begin * lines; i < end * lines; i++)
        for (size_t word = 0; word < LINES; word++)
            sums.words[word] ^= memory->lines[i].words[word];
    for (size_t word = 0; word < LINES; word++)
        memory->sums[thread * LINES + word] ^= sums.words[word];
}

static void read_on_this_thread(struct memory *memory)
{
    read_pieces(memory, 0, MEMORY_BYTES / MEMORY_PIECE, 0);
}

static clipc_status measure_memory(clipc_thread_pool *pool, clipc_peaks *peaks, clipc_error *error)
{
    const size_t threads = clipc_thread_pool_threads(pool);
    clipc_status status = CLIPC_OK;
    unsigned char *block = clipc_allocate_aligned(1, MEMORY_BYTES);
    struct memory memory = {.lines = (const struct line *)(void *)block,
                            .sums = clipc_allocate(threads, sizeof(struct line))};
    if (!block || !memory.sums) {
        status = clipc_fail_memory(error, MEMORY_BYTES, "measuring the speed of memory");
        goto fail;
    }
    memset(block, 1, MEMORY_BYTES);
    for (int round = 0; round < MEMORY_ROUNDS; round++) {
        const double begin = now();
        read_on_this_thread(&memory);
        const double middle = now();
        clipc_thread_pool_run(pool, read_pieces, &memory, MEMORY_BYTES / MEMORY_PIECE, 1);
        const double end = now();
        peaks->one_thread_bytes = fmax(peaks->one_thread_bytes, (double)MEMORY_BYTES / fmax(middle - begin, 1e-9));
        peaks->all_threads_bytes = fmax(peaks->all_threads_bytes, (double)MEMORY_BYTES / fmax(end - middle, 1e-9));
    }
fail:
    clipc_free_aligned(block);
    clipc_free(memory.sums);
    return status;
}

clipc_status clipc_measure_peaks(clipc_cpu_level level, clipc_thread_pool *pool, clipc_peaks *peaks,
                                 clipc_error *error)
{
    *peaks = (clipc_peaks){.size = peaks->size};
    CLIPC_TRY(measure_arithmetic(level, pool, peaks, error));
    peaks->start_seconds = measure_start(pool);
    return measure_memory(pool, peaks, error);
}
