/* The steps of a tower that are not products, rows of fp16 or bf16 (`type`) and fp32 arithmetic. Rows are `stride`
 * values apart, `width` of them used; what lies between is zero and stays so. */
#ifndef CLIPC_BACKEND_CUDA_STEPS_H
#define CLIPC_BACKEND_CUDA_STEPS_H

#include "backend/cuda/gemm_select.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pixels [count, 3, image_size, image_size] → patches [count × grid², stride], grid = image_size / patch_size,
 * each [3, patch_size, patch_size] and zeros. */
cudaError_t clipc_cuda_patches(clipc_cuda_type type, const float *pixels, int32_t count, int32_t image_size,
                               int32_t patch_size, void *patches, int32_t stride, cudaStream_t stream);

/* Bytes [count, image_size, image_size, 3] → the floats [count, 3, image_size, image_size] that `values` [3, 256] has
 * for them (clipc_preprocess_values). */
cudaError_t clipc_cuda_floats_of_bytes(const uint8_t *bytes, int32_t count, int32_t image_size, const float *values,
                                       float *pixels, cudaStream_t stream);

/* Puts class_row (class embedding + first position, fp32 [width]) into the first row of each item of `tokens` rows,
 * then LayerNorm over every row in place (none when `weight` is NULL), and leaves statistics: one pair a row. */
cudaError_t clipc_cuda_image_rows(clipc_cuda_type type, void *rows, int32_t count, int32_t tokens, int32_t width,
                                  int32_t stride, const float *class_row, const float *weight, const float *bias,
                                  float epsilon, float *statistics, cudaStream_t stream);

/* rows[r] = embedding[ids[r]] + position[r − start of its text], with statistics; offsets [count + 1]. `places`: not 0
 * where an id says its position, too, as position × places + id (model/token_place.h). */
cudaError_t clipc_cuda_text_rows(clipc_cuda_type type, const int32_t *ids, const int32_t *offsets, int32_t count,
                                 int32_t longest, const void *embedding, const void *position, int32_t places,
                                 int32_t width, int32_t stride, void *rows, float *statistics, cudaStream_t stream);

/* The mean of each item's rows from `first` on → to [count, stride], with statistics: one pair a row. With `normalize`
 * every row is brought to mean 0 and deviation 1 before. */
cudaError_t clipc_cuda_average_rows(clipc_cuda_type type, const void *rows, int32_t count, int32_t tokens,
                                    int32_t first, int32_t width, int32_t stride, int32_t normalize, float epsilon,
                                    void *to, float *statistics, cudaStream_t stream);

/* Rows [count, columns], without gaps and of a multiple of 8 columns, as fp32. */
cudaError_t clipc_cuda_widen_rows(clipc_cuda_type type, const void *rows, int32_t count, int32_t columns, float *to,
                                  cudaStream_t stream);

/* Statistics in parts (gemm.h) → one pair a row. `to` must not overlap `from`. */
cudaError_t clipc_cuda_join_statistics(const float *from, int32_t rows, int32_t parts, int32_t part_width,
                                       int32_t columns, float *to, cudaStream_t stream);

/* (x − mean) / deviation of fp16 rows as bytes, for a product that follows a LayerNorm whose weight and bias are part
 * of it. |(x − mean) / deviation| is at most √width, so one scale serves every row of e4m3. */
typedef struct clipc_cuda_normalize {
    clipc_cuda_type type; /* of the bytes */
    const void *rows;
    int32_t count;
    int32_t width;
    int32_t stride;
    float epsilon;
    float scale;       /* e4m3: what is rounded is the quotient times this */
    void *to;          /* [count, to_stride] */
    int32_t to_stride; /* a multiple of 16 */
    float *row_scale;  /* s8: [count], what a step is worth */
} clipc_cuda_normalize;

cudaError_t clipc_cuda_normalize_rows(const clipc_cuda_normalize *step, cudaStream_t stream);

/* fp16 rows as s8, each row's largest at ±127. */
cudaError_t clipc_cuda_quantize_rows(const void *rows, int32_t count, int32_t stride, void *to, int32_t to_stride,
                                     float *row_scale, cudaStream_t stream);

/* Statistics of fp16 rows: one pair a row. */
cudaError_t clipc_cuda_measure_rows(const void *rows, int32_t count, int32_t width, int32_t stride, float *statistics,
                                    cudaStream_t stream);

typedef struct clipc_cuda_attention {
    clipc_cuda_type type;        /* of what goes in: fp16 or bf16 */
    clipc_cuda_type output_type; /* the same, or, when it is fp16, e4m3 */
    const void *qkv;             /* [rows, 3, heads, head_stride]; queries are scaled by log₂e / √head_width */
    void *output;                /* [rows, heads, head_stride]; [count, …] with only_row */
    const int32_t *offsets;      /* [count + 1], or NULL: every item has `tokens` rows */
    int32_t count;
    int32_t tokens; /* of the longest item */
    int32_t heads;
    int32_t head_stride; /* a multiple of 16, at most 128 */
    int32_t causal;
    int32_t only_row;     /* −1: every row asks; 0: only the first of each item; 1: only the last */
    int32_t wgmma_blocks; /* Hopper: multiprocessors, for the kernel of its own; 0: the portable one */
} clipc_cuda_attention;

cudaError_t clipc_cuda_attention_run(const clipc_cuda_attention *attention, cudaStream_t stream);
/* Whether Hopper's own kernel takes it, and that kernel; clipc_cuda_attention_run asks. */
bool clipc_cuda_attention_has_wgmma(const clipc_cuda_attention *attention);
cudaError_t clipc_cuda_attention_wgmma(const clipc_cuda_attention *attention, cudaStream_t stream);
/* Shared memory that a block needs for items of `tokens` rows. */
int32_t clipc_cuda_attention_shared_bytes(int32_t tokens, int32_t head_stride);

#ifdef __cplusplus
}
#endif

#endif
