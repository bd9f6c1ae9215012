/* What a line of line_avx2.h needs for results narrower than fp32; see lines_bf16.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_NARROW_AVX2_H
#define CLIPC_BACKEND_CPU_LINE_NARROW_AVX2_H

#include "backend/cpu/line_avx2.h"

#include <stdint.h>

static inline __m256 narrow_load_eight(const uint16_t *from)
{
    const __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)from);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline line line_load_bf16(const uint16_t *from)
{
    return (line){narrow_load_eight(from), narrow_load_eight(from + 8)};
}

/* The rounded bf16 of each lane in its lower half. */
static inline __m256i narrow_eight(__m256 a)
{
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(even, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i is_number = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_ORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(quiet, rounded, is_number), 16);
}

static inline void line_store_bf16(uint16_t *to, line a)
{
    const __m256i packed = _mm256_packus_epi32(narrow_eight(a.low), narrow_eight(a.high));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(packed, 0xD8));
}

/* 1 / a to 11 bits or more. */
static inline line line_reciprocal(line a)
{
    return (line){_mm256_rcp_ps(a.low), _mm256_rcp_ps(a.high)};
}

/* To the nearest whole number, ties to even. */
static inline line line_round(line a)
{
    return (line){_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                  _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

/* Four lines to 64 bytes, round(x × inverse) + zero, limited to 0 … 255; what is not a number may become any. */
static inline void line_store_quantized(void *to, const line x[4], float inverse, int32_t zero)
{
    const __m256 factor = _mm256_set1_ps(inverse);
    const __m256i shift = _mm256_set1_epi16((short)zero);
    for (int i = 0; i < 4; i++) {
        const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(x[i].low, factor));
        const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(x[i].high, factor));
        const __m256i words = _mm256_adds_epi16(_mm256_packs_epi32(low, high), shift);
        const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
        const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
        _mm_storeu_si128((__m128i *)to + i, bytes);
    }
}

/* The largest of many halves, as signed and as unsigned integers, 32 at a time. */
typedef struct line_extremes {
    __m256i most_signed;
    __m256i most;
} line_extremes;

static inline line_extremes line_extremes_set(int16_t most_signed, uint16_t most)
{
    return (line_extremes){_mm256_set1_epi16(most_signed), _mm256_set1_epi16((short)most)};
}

static inline line_extremes line_extremes_add(line_extremes a, const uint16_t *from)
{
    const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)from);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)from + 1);
    return (line_extremes){_mm256_max_epi16(_mm256_max_epi16(a.most_signed, low), high),
                           _mm256_max_epu16(_mm256_max_epu16(a.most, low), high)};
}

static inline void line_extremes_get(line_extremes a, int16_t *most_signed, uint16_t *most)
{
    /* The smallest of eight unsigned halves is one instruction: bits are turned so that it is the largest. */
    const __m128i turned_signed =
        _mm_xor_si128(_mm_max_epi16(_mm256_castsi256_si128(a.most_signed), _mm256_extracti128_si256(a.most_signed, 1)),
                      _mm_set1_epi16(0x7FFF));
    const __m128i turned = _mm_xor_si128(
        _mm_max_epu16(_mm256_castsi256_si128(a.most), _mm256_extracti128_si256(a.most, 1)), _mm_set1_epi16(-1));
    *most_signed = (int16_t)(_mm_cvtsi128_si32(_mm_minpos_epu16(turned_signed)) ^ 0x7FFF);
    *most = (uint16_t)~_mm_cvtsi128_si32(_mm_minpos_epu16(turned));
}

static inline __m256 narrow_corrected_eight(const int32_t *sums, const int32_t *integers, __m256i zero)
{
    const __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)sums);
    const __m256i correction = _mm256_mullo_epi32(_mm256_loadu_si256((const __m256i *)(const void *)integers), zero);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, correction));
}

/* sums - zero × integers, as floats. */
static inline line line_corrected_sum(const int32_t *sums, const int32_t *integers, int32_t zero)
{
    const __m256i zeros = _mm256_set1_epi32(zero);
    return (line){narrow_corrected_eight(sums, integers, zeros),
                  narrow_corrected_eight(sums + 8, integers + 8, zeros)};
}

#endif
