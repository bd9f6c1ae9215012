/* The two passes with AVX2. A product of a byte and a 23-bit weight does not fit pmaddwd, so the weight goes in as
 * high × 65536 + low: two sums of 16-bit products, joined at the end. Sums wrap modulo 2^32, the total never does. */
#include "image/resize_kernels.h"

#include <immintrin.h>
#include <string.h>

#define HALF (1 << (CLIPC_RESIZE_BITS - 1))

/* For 16 bytes of pixels in both halves: the lower half of the result has, for each channel, taps 0 and 1 side by side
 * as 16-bit numbers, the upper half taps 2 and 3. */
static __m256i pair_shuffle(size_t channels)
{
    int8_t order[32];
    memset(order, -1, sizeof order);
    for (size_t pair = 0; pair < 2; pair++)
        for (size_t c = 0; c < 4 && c < channels; c++) {
            order[16 * pair + 4 * c] = (int8_t)(2 * pair * channels + c);
            order[16 * pair + 4 * c + 2] = (int8_t)((2 * pair + 1) * channels + c);
        }
    return _mm256_loadu_si256((const __m256i *)order);
}

/* Four weights: the first pair in every place of the lower half, the second in the upper. */
static inline __m256i load_weights(const int16_t *weights)
{
    int64_t four;
    memcpy(&four, weights, sizeof four);
    return _mm256_permutevar8x32_epi32(_mm256_set1_epi64x(four), _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

/* Output pixel `i` of four rows, as 32-bit channels still unshifted. */
static inline void pixel_of_rows(const clipc_resize_weights *weights, size_t channels, size_t i, __m256i order,
                                 const uint8_t *source, size_t stride, __m128i sum[4])
{
    const int16_t *low = weights->low + i * weights->taps;
    const int16_t *high = weights->high + i * weights->taps;
    const uint8_t *pixels = source + weights->start[i] * channels;
    __m256i low_sum[4], high_sum[4];
    for (size_t r = 0; r < 4; r++)
        low_sum[r] = high_sum[r] = _mm256_setzero_si256();
    for (size_t t = 0; t < weights->used[i]; t += 4) {
        const __m256i low_weights = load_weights(low + t);
        const __m256i high_weights = load_weights(high + t);
        for (size_t r = 0; r < 4; r++) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)(pixels + r * stride + t * channels));
            const __m256i pairs = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), order);
            low_sum[r] = _mm256_add_epi32(low_sum[r], _mm256_madd_epi16(pairs, low_weights));
            high_sum[r] = _mm256_add_epi32(high_sum[r], _mm256_madd_epi16(pairs, high_weights));
        }
    }
    for (size_t r = 0; r < 4; r++) {
        const __m256i both = _mm256_add_epi32(low_sum[r], _mm256_slli_epi32(high_sum[r], 16));
        sum[r] = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    }
}

static inline __m128i shift_sum(__m128i sum)
{
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(HALF)), CLIPC_RESIZE_BITS);
}

/* Four bytes are stored for every pixel; the next pixel, or the slack, takes those too many. */
static void horizontal_four(const clipc_resize_weights *weights, size_t channels, const uint8_t *source, size_t stride,
                            uint8_t *destination, size_t destination_stride)
{
    const __m256i order = pair_shuffle(channels);
    for (size_t i = 0; i < weights->count; i++) {
        __m128i sum[4];
        pixel_of_rows(weights, channels, i, order, source, stride, sum);
        const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(shift_sum(sum[0]), shift_sum(sum[1])),
                                               _mm_packs_epi32(shift_sum(sum[2]), shift_sum(sum[3])));
        int32_t pixels[4];
        _mm_storeu_si128((__m128i *)pixels, bytes);
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

static inline __m256i finish_vertical(__m256i low, __m256i high)
{
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(low, _mm256_slli_epi32(high, 16)), _mm256_set1_epi32(HALF));
    return _mm256_srai_epi32(sum, CLIPC_RESIZE_BITS);
}

/* 32 columns. Two rows are interleaved byte by byte and widened, which orders the columns oddly within each half; the
 * packs at the end undo that. */
static inline void vertical_block(const int16_t *low, const int16_t *high, size_t used, const uint8_t *const *rows,
                                  size_t begin, uint8_t *destination)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i low_sum[4] = {zero, zero, zero, zero};
    __m256i high_sum[4] = {zero, zero, zero, zero};
    for (size_t t = 0; t < used; t += 2) {
        int32_t low_pair, high_pair;
        memcpy(&low_pair, low + t, 4);
        memcpy(&high_pair, high + t, 4);
        const __m256i low_weights = _mm256_set1_epi32(low_pair);
        const __m256i high_weights = _mm256_set1_epi32(high_pair);
        const __m256i first = _mm256_loadu_si256((const __m256i *)(rows[t] + begin));
        const __m256i second = _mm256_loadu_si256((const __m256i *)(rows[t + 1] + begin));
        const __m256i lower = _mm256_unpacklo_epi8(first, second);
        const __m256i upper = _mm256_unpackhi_epi8(first, second);
        const __m256i pairs[4] = {_mm256_unpacklo_epi8(lower, zero), _mm256_unpackhi_epi8(lower, zero),
                                  _mm256_unpacklo_epi8(upper, zero), _mm256_unpackhi_epi8(upper, zero)};
        for (size_t p = 0; p < 4; p++) {
            low_sum[p] = _mm256_add_epi32(low_sum[p], _mm256_madd_epi16(pairs[p], low_weights));
            high_sum[p] = _mm256_add_epi32(high_sum[p], _mm256_madd_epi16(pairs[p], high_weights));
        }
    }
    const __m256i words_lower =
        _mm256_packs_epi32(finish_vertical(low_sum[0], high_sum[0]), finish_vertical(low_sum[1], high_sum[1]));
    const __m256i words_upper =
        _mm256_packs_epi32(finish_vertical(low_sum[2], high_sum[2]), finish_vertical(low_sum[3], high_sum[3]));
    _mm256_storeu_si256((__m256i *)(destination + begin), _mm256_packus_epi16(words_lower, words_upper));
}

static void vertical(const clipc_resize_weights *weights, size_t position, const uint8_t *const *rows, size_t bytes,
                     uint8_t *destination)
{
    const int16_t *low = weights->low + position * weights->taps;
    const int16_t *high = weights->high + position * weights->taps;
    if (bytes < 32) {
        clipc_resize_kernels_c.vertical(weights, position, rows, bytes, destination);
        return;
    }
    for (size_t begin = 0; begin + 32 <= bytes; begin += 32)
        vertical_block(low, high, weights->used[position], rows, begin, destination);
    if (bytes % 32) /* once more, overlapping */
        vertical_block(low, high, weights->used[position], rows, bytes - 32, destination);
}

const clipc_resize_kernels clipc_resize_kernels_avx2 = {horizontal, vertical};
