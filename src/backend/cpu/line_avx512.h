/* A line of 16 floats in one AVX-512 register; see lines_f32.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_AVX512_H
#define CLIPC_BACKEND_CPU_LINE_AVX512_H

#include <immintrin.h>
#include <stddef.h>

typedef __m512 line;

static inline line line_load(const float *from)
{
    return _mm512_loadu_ps(from);
}

static inline void line_store(float *to, line a)
{
    _mm512_storeu_ps(to, a);
}

static inline line line_set(float value)
{
    return _mm512_set1_ps(value);
}

static inline line line_add(line a, line b)
{
    return _mm512_add_ps(a, b);
}

static inline line line_subtract(line a, line b)
{
    return _mm512_sub_ps(a, b);
}

static inline line line_multiply(line a, line b)
{
    return _mm512_mul_ps(a, b);
}

static inline line line_divide(line a, line b)
{
    return _mm512_div_ps(a, b);
}

static inline line line_multiply_add(line a, line b, line c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline line line_max(line a, line b)
{
    return _mm512_max_ps(a, b);
}

static inline line line_min(line a, line b)
{
    return _mm512_min_ps(a, b);
}

static inline line line_absolute(line a)
{
    return _mm512_abs_ps(a);
}

static inline line line_select_negative(line sign, line a, line b)
{
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(sign)), b, a);
}

static inline __mmask16 line_first_lanes(size_t count)
{
    return (__mmask16)(count >= 16 ? 0xFFFFu : (1u << count) - 1u);
}

static inline line line_keep(line a, size_t count)
{
    return _mm512_maskz_mov_ps(line_first_lanes(count), a);
}

static inline line line_load_first(const float *from, size_t count, float rest)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(rest), line_first_lanes(count), from);
}

/* 2 to the power of whole numbers. */
static inline line line_power_of_two(line a)
{
    return _mm512_scalef_ps(_mm512_set1_ps(1.0f), a);
}

/* Halves are joined in the order 8, 4, 2, 1 at every level. */
static inline float line_sum(line a)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float line_largest(line a)
{
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif
