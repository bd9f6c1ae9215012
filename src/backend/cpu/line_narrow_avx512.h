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

/* 2^t to 13 bits: the scaling takes the whole part of t itself, and overflows to infinity or 0 by itself. */
#define CLIPC_LINE_LOW_POWER
static inline line line_low_power(line t)
{
    const line r = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    line p = line_set(7.8024335e-2f);
    p = line_multiply_add(p, r, line_set(2.2606706e-1f));
    p = line_multiply_add(p, r, line_set(6.9583378e-1f));
    p = line_multiply_add(p, r, line_set(9.9992517e-1f));
    return _mm512_scalef_ps(p, t);
}

/* Four lines to 64 bytes, round(x × inverse) + zero, limited to 0 … 255; what is not a number may become any. */
static inline void line_store_quantized(void *to, const line x[4], float inverse, int32_t zero)
{
    const __m512 factor = _mm512_set1_ps(inverse);
    __m512i whole[4];
    for (int i = 0; i < 4; i++)
        whole[i] = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], factor));
    /* Packing goes by quarters of a register: they end up with four bytes of each line. */
    const __m512i shift = _mm512_set1_epi16((short)zero);
    const __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(whole[0], whole[1]), shift);
    const __m512i second = _mm512_adds_epi16(_mm512_packs_epi32(whole[2], whole[3]), shift);
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(first, second)));
}

/* The largest of many halves, as signed and as unsigned integers, 32 at a time. */
typedef struct line_extremes {
    __m512i most_signed;
    __m512i most;
} line_extremes;

static inline line_extremes line_extremes_set(int16_t most_signed, uint16_t most)
{
    return (line_extremes){_mm512_set1_epi16(most_signed), _mm512_set1_epi16((short)most)};
}

static inline line_extremes line_extremes_add(line_extremes a, const uint16_t *from)
{
    const __m512i halves = _mm512_loadu_si512(from);
    return (line_extremes){_mm512_max_epi16(a.most_signed, halves), _mm512_max_epu16(a.most, halves)};
}

static inline void line_extremes_get(line_extremes a, int16_t *most_signed, uint16_t *most)
{
    const __m256i half_signed =
        _mm256_max_epi16(_mm512_castsi512_si256(a.most_signed), _mm512_extracti64x4_epi64(a.most_signed, 1));
    const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(a.most), _mm512_extracti64x4_epi64(a.most, 1));
    /* The smallest of eight unsigned halves is one instruction: bits are turned so that it is the largest. */
    const __m128i turned_signed =
        _mm_xor_si128(_mm_max_epi16(_mm256_castsi256_si128(half_signed), _mm256_extracti128_si256(half_signed, 1)),
                      _mm_set1_epi16(0x7FFF));
    const __m128i turned = _mm_xor_si128(
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)), _mm_set1_epi16(-1));
    *most_signed = (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned_signed)) ^ 0x7FFF);
    *most = (uint16_t)~_mm_cvtsi128_si32(_mm_minpos_epu16(turned));
}

/* sums - zero × integers, as floats. */
static inline line line_corrected_sum(const int32_t *sums, const int32_t *integers, int32_t zero)
{
    const __m512i correction = _mm512_mullo_epi32(_mm512_loadu_si512(integers), _mm512_set1_epi32(zero));
    return _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums), correction));
}

#endif
