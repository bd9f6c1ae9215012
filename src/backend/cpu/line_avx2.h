/* A line of 16 floats in two AVX2 registers; see lines_f32.h. */
#ifndef CLIPC_BACKEND_CPU_LINE_AVX2_H
#define CLIPC_BACKEND_CPU_LINE_AVX2_H

#include <immintrin.h>
#include <stddef.h>

typedef struct line {
    __m256 low, high;
} line;

static inline line line_load(const float *from)
{
    return (line){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}

static inline void line_store(float *to, line a)
{
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + 8, a.high);
}

static inline line line_set(float value)
{
    return (line){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

static inline line line_add(line a, line b)
{
    return (line){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

static inline line line_subtract(line a, line b)
{
    return (line){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

static inline line line_multiply(line a, line b)
{
    return (line){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

static inline line line_divide(line a, line b)
{
    return (line){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

static inline line line_multiply_add(line a, line b, line c)
{
    return (line){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

static inline line line_max(line a, line b)
{
    return (line){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

static inline line line_min(line a, line b)
{
    return (line){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

static inline line line_absolute(line a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (line){_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}

static inline line line_select_negative(line sign, line a, line b)
{
    return (line){_mm256_blendv_ps(b.low, a.low, sign.low), _mm256_blendv_ps(b.high, a.high, sign.high)};
}

static inline __m256i line_first_lanes(ptrdiff_t count)
{
    const int limit = count < 0 ? 0 : count > 8 ? 8 : (int)count;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline line line_keep(line a, size_t count)
{
    return (line){_mm256_and_ps(a.low, _mm256_castsi256_ps(line_first_lanes((ptrdiff_t)count))),
                  _mm256_and_ps(a.high, _mm256_castsi256_ps(line_first_lanes((ptrdiff_t)count - 8)))};
}

static inline line line_load_first(const float *from, size_t count, float rest)
{
    const __m256i low = line_first_lanes((ptrdiff_t)count);
    const __m256i high = line_first_lanes((ptrdiff_t)count - 8);
    const __m256 other = _mm256_set1_ps(rest);
    return (line){_mm256_blendv_ps(other, _mm256_maskload_ps(from, low), _mm256_castsi256_ps(low)),
                  _mm256_blendv_ps(other, _mm256_maskload_ps(from + 8, high), _mm256_castsi256_ps(high))};
}

/* 2 to the power of whole numbers from -126 to 127, by way of the exponent's bits. */
static inline line line_power_of_two(line a)
{
    const __m256i bias = _mm256_set1_epi32(127);
    return (line){_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a.low), bias), 23)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a.high), bias), 23))};
}

/* Halves are joined in the order 8, 4, 2, 1 at every level. */
static inline float line_sum(line a)
{
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline float line_largest(line a)
{
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

#endif
