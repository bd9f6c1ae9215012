#include "backend/cpu/pack_units.h"

#include <immintrin.h>
#include <stdbool.h>

#define LANES ((size_t)16)

static inline __mmask16 first_lanes(size_t count)
{
    return (__mmask16)(count >= LANES ? 0xFFFFu : (1u << count) - 1u);
}

/* Rows 4 i … 4 i + 3 of a square of 16 × 16, transposed within each quarter of a register: out[k] holds, for each
 * quarter q, the k-th value of the quarter's four columns 4 q + k. */
static inline void transpose_quarters(const __m512i *rows, __m512i *out)
{
    const __m512i low_01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
    const __m512i high_01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
    const __m512i low_23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
    const __m512i high_23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
    out[0] = _mm512_unpacklo_epi64(low_01, low_23);
    out[1] = _mm512_unpackhi_epi64(low_01, low_23);
    out[2] = _mm512_unpacklo_epi64(high_01, high_23);
    out[3] = _mm512_unpackhi_epi64(high_01, high_23);
}

/* to[k × columns + j] = from[j × stride + k] for 16 of each, of which `count` rows j and `inner` units k exist. */
static inline void transpose_square(const float *from, size_t stride, size_t count, size_t inner, size_t columns,
                                    float *to)
{
    const __mmask16 lanes = first_lanes(inner);
    __m512i rows[16];
    __m512i quarters[16];
    for (size_t j = 0; j < LANES; j++)
        rows[j] = j < count ? _mm512_maskz_loadu_epi32(lanes, from + j * stride) : _mm512_setzero_si512();
    for (size_t i = 0; i < LANES; i += 4)
        transpose_quarters(rows + i, quarters + i);
    for (size_t k = 0; k < 4; k++) {
        const __m512i low_a = _mm512_shuffle_i32x4(quarters[k], quarters[4 + k], 0x88);
        const __m512i low_b = _mm512_shuffle_i32x4(quarters[8 + k], quarters[12 + k], 0x88);
        const __m512i high_a = _mm512_shuffle_i32x4(quarters[k], quarters[4 + k], 0xDD);
        const __m512i high_b = _mm512_shuffle_i32x4(quarters[8 + k], quarters[12 + k], 0xDD);
        _mm512_storeu_si512(to + k * columns, _mm512_shuffle_i32x4(low_a, low_b, 0x88));
        _mm512_storeu_si512(to + (4 + k) * columns, _mm512_shuffle_i32x4(high_a, high_b, 0x88));
        _mm512_storeu_si512(to + (8 + k) * columns, _mm512_shuffle_i32x4(low_a, low_b, 0xDD));
        _mm512_storeu_si512(to + (12 + k) * columns, _mm512_shuffle_i32x4(high_a, high_b, 0xDD));
    }
}

void clipc_pack_units__avx512(const float *from, size_t stride, size_t count, size_t inner, size_t columns, float *to)
{
    for (size_t k = 0; k < inner; k += LANES)
        for (size_t j = 0; j < columns; j += LANES)
            transpose_square(from + j * stride + k, stride, count > j ? count - j : 0, inner - k, columns,
                             to + k * columns + j);
}

/* 16 columns of both rows, of which `width` and perhaps not the second row exist. */
static inline __m512i join_rows(const uint16_t *row, size_t stride, size_t width, bool second)
{
    const __mmask16 lanes = first_lanes(width);
    const __m512i lower = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, row));
    if (!second)
        return lower;
    const __m512i upper = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, row + stride));
    return _mm512_or_si512(lower, _mm512_slli_epi32(upper, 16));
}

void clipc_pack_pairs__avx512(const uint16_t *from, size_t stride, size_t count, size_t width, size_t columns,
                              uint32_t *to)
{
    const size_t padded = clipc_deep_blocks(count, 2) * CLIPC_BLOCK;
    size_t k = 0;
    for (; 2 * k < count; k++, to += columns, from += 2 * stride)
        for (size_t j = 0; j < columns; j += LANES)
            _mm512_storeu_si512(to + j, j < width ? join_rows(from + j, stride, width - j, 2 * k + 1 < count)
                                                  : _mm512_setzero_si512());
    for (; k < padded; k++, to += columns)
        for (size_t j = 0; j < columns; j += LANES)
            _mm512_storeu_si512(to + j, _mm512_setzero_si512());
}
