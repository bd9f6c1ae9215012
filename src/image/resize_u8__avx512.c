/* The two passes with AVX-512: as resize_u8__avx2.c, eight taps at a time across and 64 columns at a time down. */
#include "image/resize_kernels.h"

#include <immintrin.h>
#include <string.h>

#define HALF (1 << (CLIPC_RESIZE_BITS - 1))

/* Quarter q of the result has, for each channel, taps 2q and 2q+1 side by side as 16-bit numbers. Two steps: `lanes`
 * brings the 16 bytes that contain them to the quarter, by whole 32-bit words, and `order` sorts them out. */
typedef struct pair_shuffle {
    __m512i lanes;
    __m512i order;
} pair_shuffle;

static pair_shuffle pair_shuffle_of(size_t channels)
{
    int32_t lanes[16];
    int8_t order[64];
    memset(order, -1, sizeof order);
    for (size_t q = 0; q < 4; q++) {
        const size_t word = 2 * q * channels / 4;
        for (size_t i = 0; i < 4; i++)
            lanes[4 * q + i] = (int32_t)(word + i < 8 ? word + i : 7);
        for (size_t c = 0; c < 4 && c < channels; c++) {
            order[16 * q + 4 * c] = (int8_t)(2 * q * channels + c - 4 * word);
            order[16 * q + 4 * c + 2] = (int8_t)((2 * q + 1) * channels + c - 4 * word);
        }
    }
    return (pair_shuffle){_mm512_loadu_si512(lanes), _mm512_loadu_si512(order)};
}

/* Eight weights: pair q in every place of quarter q. */
static inline __m512i load_weights(const int16_t *weights)
{
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutexvar_epi32(quarters, _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)weights)));
}

/* The quarters of four rows' sums, added up: row r's channels in quarter r. */
static inline __m512i add_quarters(const __m512i sum[4])
{
    const __m512i left =
        _mm512_add_epi32(_mm512_shuffle_i32x4(sum[0], sum[1], 0x44), _mm512_shuffle_i32x4(sum[0], sum[1], 0xEE));
    const __m512i right =
        _mm512_add_epi32(_mm512_shuffle_i32x4(sum[2], sum[3], 0x44), _mm512_shuffle_i32x4(sum[2], sum[3], 0xEE));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(left, right, 0x88), _mm512_shuffle_i32x4(left, right, 0xDD));
}

/* Output pixel `i` of four rows: a 32-bit word of channel bytes each. */
static inline __m128i pixel_of_rows(const clipc_resize_weights *weights, size_t channels, size_t i,
                                    const pair_shuffle *shuffle, const uint8_t *source, size_t stride)
{
    const int16_t *low = weights->low + i * weights->taps;
    const int16_t *high = weights->high + i * weights->taps;
    const uint8_t *pixels = source + weights->start[i] * channels;
    __m512i low_sum[4], high_sum[4], sum[4];
    for (size_t r = 0; r < 4; r++)
        low_sum[r] = high_sum[r] = _mm512_setzero_si512();
    for (size_t t = 0; t < weights->used[i]; t += 8) {
        const __m512i low_weights = load_weights(low + t);
        const __m512i high_weights = load_weights(high + t);
        for (size_t r = 0; r < 4; r++) {
            const __m256i bytes = _mm256_loadu_si256((const __m256i *)(pixels + r * stride + t * channels));
            const __m512i spread = _mm512_permutexvar_epi32(shuffle->lanes, _mm512_castsi256_si512(bytes));
            const __m512i pairs = _mm512_shuffle_epi8(spread, shuffle->order);
            low_sum[r] = _mm512_add_epi32(low_sum[r], _mm512_madd_epi16(pairs, low_weights));
            high_sum[r] = _mm512_add_epi32(high_sum[r], _mm512_madd_epi16(pairs, high_weights));
        }
    }
    for (size_t r = 0; r < 4; r++)
        sum[r] = _mm512_add_epi32(low_sum[r], _mm512_slli_epi32(high_sum[r], 16));
    const __m512i rounded = _mm512_add_epi32(add_quarters(sum), _mm512_set1_epi32(HALF));
    const __m512i shifted = _mm512_srai_epi32(rounded, CLIPC_RESIZE_BITS);
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(shifted, _mm512_setzero_si512()));
}

/* Four bytes are stored for every pixel; the next pixel, or the slack, takes those too many. */
static void horizontal_four(const clipc_resize_weights *weights, size_t channels, const uint8_t *source, size_t stride,
                            uint8_t *destination, size_t destination_stride)
{
    const pair_shuffle shuffle = pair_shuffle_of(channels);
    for (size_t i = 0; i < weights->count; i++) {
        int32_t pixels[4];
        _mm_storeu_si128((__m128i *)pixels, pixel_of_rows(weights, channels, i, &shuffle, source, stride));
        for (size_t r = 0; r < 4; r++)
            memcpy(destination + r * destination_stride + i * channels, &pixels[r], 4);
    }
}

static void horizontal(const clipc_resize_weights *weights, size_t channels, const uint8_t *source,
                       size_t source_stride, size_t rows, uint8_t *destination, size_t destination_stride)
{
    size_t r = 0;
    for (; r + 4 <= rows; r += 4)
        horizontal_four(weights, channels, source + r * source_stride, source_stride,
                        destination + r * destination_stride, destination_stride);
    for (; r < rows; r++) /* the same row four times over: rare, and still quicker than C */
        horizontal_four(weights, channels, source + r * source_stride, 0, destination + r * destination_stride, 0);
}

static inline __m512i finish_vertical(__m512i low, __m512i high)
{
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(low, _mm512_slli_epi32(high, 16)), _mm512_set1_epi32(HALF));
    return _mm512_srai_epi32(sum, CLIPC_RESIZE_BITS);
}

/* 64 columns, or those of `mask`: see resize_u8__avx2.c. */
static inline void vertical_block(const int16_t *low, const int16_t *high, size_t used, const uint8_t *const *rows,
                                  size_t begin, __mmask64 mask, uint8_t *destination)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i low_sum[4] = {zero, zero, zero, zero};
    __m512i high_sum[4] = {zero, zero, zero, zero};
    for (size_t t = 0; t < used; t += 2) {
        int32_t low_pair, high_pair;
        memcpy(&low_pair, low + t, 4);
        memcpy(&high_pair, high + t, 4);
        const __m512i low_weights = _mm512_set1_epi32(low_pair);
        const __m512i high_weights = _mm512_set1_epi32(high_pair);
        const __m512i first = _mm512_maskz_loadu_epi8(mask, rows[t] + begin);
        const __m512i second = _mm512_maskz_loadu_epi8(mask, rows[t + 1] + begin);
        const __m512i lower = _mm512_unpacklo_epi8(first, second);
        const __m512i upper = _mm512_unpackhi_epi8(first, second);
        const __m512i pairs[4] = {_mm512_unpacklo_epi8(lower, zero), _mm512_unpackhi_epi8(lower, zero),
                                  _mm512_unpacklo_epi8(upper, zero), _mm512_unpackhi_epi8(upper, zero)};
        for (size_t p = 0; p < 4; p++) {
            low_sum[p] = _mm512_add_epi32(low_sum[p], _mm512_madd_epi16(pairs[p], low_weights));
            high_sum[p] = _mm512_add_epi32(high_sum[p], _mm512_madd_epi16(pairs[p], high_weights));
        }
    }
    const __m512i words_lower =
        _mm512_packs_epi32(finish_vertical(low_sum[0], high_sum[0]), finish_vertical(low_sum[1], high_sum[1]));
    const __m512i words_upper =
        _mm512_packs_epi32(finish_vertical(low_sum[2], high_sum[2]), finish_vertical(low_sum[3], high_sum[3]));
    _mm512_mask_storeu_epi8(destination + begin, mask, _mm512_packus_epi16(words_lower, words_upper));
}

static void vertical(const clipc_resize_weights *weights, size_t position, const uint8_t *const *rows, size_t bytes,
                     uint8_t *destination)
{
    const int16_t *low = weights->low + position * weights->taps;
    const int16_t *high = weights->high + position * weights->taps;
    const size_t used = weights->used[position];
    size_t begin = 0;
    for (; begin + 64 <= bytes; begin += 64)
        vertical_block(low, high, used, rows, begin, ~(__mmask64)0, destination);
    if (begin < bytes)
        vertical_block(low, high, used, rows, begin, ((__mmask64)1 << (bytes - begin)) - 1, destination);
}

const clipc_resize_kernels clipc_resize_kernels_avx512 = {horizontal, vertical};
