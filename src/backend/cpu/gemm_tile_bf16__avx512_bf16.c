#include "backend/cpu/kernels.h"

#include <immintrin.h>

#define ROWS    CLIPC_GEMM_BF16_ROWS__avx512_bf16
#define COLUMNS CLIPC_GEMM_BF16_COLUMNS__avx512_bf16

/* As in the fp32 kernel. */
#define AHEAD 16

typedef uint32_t unit;
typedef float result;
typedef __m512bh operand;
typedef __m512 sum;

static inline sum sum_zero(void)
{
    return _mm512_setzero_ps();
}

static inline operand load_weights(const uint32_t *from)
{
    return (__m512bh)_mm512_load_si512(from);
}

static inline operand broadcast(uint32_t value)
{
    return (__m512bh)_mm512_set1_epi32((int)value);
}

static inline sum multiply_add(sum total, operand values, operand weights)
{
    return _mm512_dpbf16_ps(total, values, weights);
}

static inline void store_sum(float *to, sum total)
{
    _mm512_storeu_ps(to, total);
}

#include "backend/cpu/gemm_tile_broadcast.h"

void clipc_gemm_tile_bf16__avx512_bf16(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                       size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
