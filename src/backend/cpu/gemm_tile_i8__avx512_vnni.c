#include "backend/cpu/kernels.h"

#include <immintrin.h>

#define ROWS    CLIPC_GEMM_I8_ROWS__avx512_vnni
#define COLUMNS CLIPC_GEMM_I8_COLUMNS__avx512_vnni

/* As in the fp32 kernel. */
#define AHEAD 16

typedef uint32_t unit;
typedef int32_t result;
typedef __m512i operand;
typedef __m512i sum;

static inline sum sum_zero(void)
{
    return _mm512_setzero_si512();
}

static inline operand load_weights(const uint32_t *from)
{
    return _mm512_load_si512(from);
}

static inline operand broadcast(uint32_t value)
{
    return _mm512_set1_epi32((int)value);
}

static inline sum multiply_add(sum total, operand values, operand weights)
{
    return _mm512_dpbusd_epi32(total, values, weights);
}

static inline void store_sum(int32_t *to, sum total)
{
    _mm512_storeu_si512(to, total);
}

#include "backend/cpu/gemm_tile_broadcast.h"

void clipc_gemm_tile_i8__avx512_vnni(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                                     size_t out_stride)
{
    multiply_rows(rows, blocks, a, b, out, out_stride);
}
