/* What a line of line_avx512.h needs for results narrower than fp32; see lines_bf16.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_NARROW_AVX512_H
#define CLIPC_BACKEND_CPU_LINE_NARROW_AVX512_H

#include "backend/cpu/line_avx512.h"

#include <stdint.h>

static inline line line_load_bf16(const uint16_t *from)
{
    const __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

static inline void line_store_bf16(uint16_t *to, line a)
{
#if defined(__AVX512BF16__)
    const __m256i halves = (__m256i)_mm512_cvtneps_pbh(a);
#else
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(even, _mm512_set1_epi32(0x7FFF)));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i chosen = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x00400000));
    const __m256i halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
#endif
    _mm256_storeu_si256((__m256i *)(void *)to, halves);
}

/* 1 / a to 11 bits or more. */
static inline line line_reciprocal(line a)
{
    return _mm512_rcp14_ps(a);
}

/* To the nearest whole number, ties to even. */
static inline line line_round(line a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Whole numbers from 0 to 255. */
static inline void line_store_bytes(uint8_t *to, line a)
{
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(a)));
}

/* sums - zero × integers, as floats. */
static inline line line_corrected_sum(const int32_t *sums, const int32_t *integers, int32_t zero)
{
    const __m512i correction = _mm512_mullo_epi32(_mm512_loadu_si512(integers), _mm512_set1_epi32(zero));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), correction));
}

#endif
