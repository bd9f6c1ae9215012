/* The two passes of a resize. Integer arithmetic throughout, so every level gives the same bytes. */
#ifndef CLIPC_IMAGE_RESIZE_KERNELS_H
#define CLIPC_IMAGE_RESIZE_KERNELS_H

#include "base/cpu_features.h"
#include "image/resize_weights.h"

/* How far past the last pixel a horizontal kernel may read, and past the last pixel of a row it may write. */
#define CLIPC_RESIZE_SLACK ((size_t)64)

/* Rows that the horizontal kernel is best given at once. */
#define CLIPC_RESIZE_ROWS ((size_t)4)

typedef struct clipc_resize_kernels {
    /* rows × weights->count pixels: destination[r][i] = Σ_t weight[i][t] × source[r][start[i] + t], rounded and
     * clipped to 8 bits. Reads and writes up to CLIPC_RESIZE_SLACK bytes too far; what it writes there is undefined.
     */
    void (*horizontal)(const clipc_resize_weights *weights, size_t channels, const uint8_t *source,
                       size_t source_stride, size_t rows, uint8_t *destination, size_t destination_stride);
    /* destination[b] = Σ_t weight[position][t] × rows[t][b], for b < bytes, rounded and clipped. rows has
     * used[position] entries and, when that is odd, one more valid pointer. Keeps to the `bytes` of every row. */
    void (*vertical)(const clipc_resize_weights *weights, size_t position, const uint8_t *const *rows, size_t bytes,
                     uint8_t *destination);
} clipc_resize_kernels;

extern const clipc_resize_kernels clipc_resize_kernels_c;
#if defined(__x86_64__)
extern const clipc_resize_kernels clipc_resize_kernels_avx2;
extern const clipc_resize_kernels clipc_resize_kernels_avx512;
#elif defined(__aarch64__)
extern const clipc_resize_kernels clipc_resize_kernels_neon;
#endif

/* The best kernels that `level` allows. */
const clipc_resize_kernels *clipc_resize_kernels_for(clipc_cpu_level level);

/* clipc_resize_crop with given kernels. */
clipc_status clipc_resize_crop_with(const clipc_resize_kernels *kernels, const uint8_t *source, size_t source_width,
                                    size_t source_height, size_t channels, clipc_filter filter, size_t width,
                                    size_t height, clipc_crop crop, uint8_t *destination, clipc_error *error);

#endif
