/* Matrix products on the device: output = epilogue(input × weightᵀ), operands of 16 bits, fp32
 * accumulation.
 *
 * What stands around a product in a transformer is part of it. Products of
 * bytes (e4m3, s8) have their input normalised already and know only scales, bias, activation and residual.
 * LayerNorm before a product of halves is linear but for two numbers a
 * row: LN(x)·wᵀ + b = (x·w'ᵀ − mean · Σw') / σ + b',   w' = w·γ,  b' = b + w·β so the weights are packed as w' and the
 * mean and deviation come in through the epilogue, in fp32. The product before it leaves those numbers behind: each
 * tile writes, for its columns of each row, their mean and their sum of squared differences from it, and the reader
 * joins the parts (Chan, Golub & LeVeque 1983), always in the same order.
 */
#ifndef CLIPC_BACKEND_CUDA_GEMM_H
#define CLIPC_BACKEND_CUDA_GEMM_H

#include "backend/cuda/gemm_select.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum clipc_cuda_activation {
    CLIPC_CUDA_ACTIVATION_NONE,
    CLIPC_CUDA_ACTIVATION_QUICK_GELU,
    CLIPC_CUDA_ACTIVATION_GELU,
    CLIPC_CUDA_ACTIVATION_GELU_TANH,
    CLIPC_CUDA_ACTIVATION_RELU /* the one that may follow a residual */
} clipc_cuda_activation;

/* Row statistics as one step leaves them for the next: pairs (mean, sum of squared differences) [rows, parts]; part p
 * covers columns p × part_width … of a row of `columns`. */
typedef struct clipc_cuda_statistics {
    float *pairs; /* NULL: there are none */
    int32_t parts;
    int32_t part_width;
    int32_t columns;
    float epsilon;
} clipc_cuda_statistics;

/* Columns of one part, at the least; clipc_gemm_part_width says how many a kernel leaves. */
#define CLIPC_CUDA_STATISTICS_WIDTH 64

/* Rows that the packed weights of a product of bytes have, and pairs of terms: whole groups, zeros at the end. */
#define CLIPC_CUDA_PADDED_COLUMNS(columns) (((columns) + 255) / 256 * 256)

typedef struct clipc_cuda_gemm {
    clipc_cuda_type type; /* of input, weight, residual and output; around products of bytes rows are fp16 */
    const void *input;    /* [rows, depth], row stride input_stride */
    const void *weight;   /* [columns, depth], row stride depth; of bytes: packed as weight_pack.h says */
    int32_t rows;
    int32_t input_capacity; /* rows that may be read (what they hold does not matter): at least `rows` */
    int32_t columns;        /* a multiple of 8, of 16 when the output is bytes */
    int32_t depth;          /* a multiple of 8, of 16 for bytes */
    int32_t input_stride;   /* elements, a multiple of the same */
    /* Not 0: a convolution over 3 × 3 pixels. The input is maps of window_side × window_side pixels [rows,
     * input_stride], row r of the product is the window about pixel r, its depth 9 × input_stride, and what is beyond
     * the edges is 0. For plans of CLIPC_GEMM_SM80, with a ReLU and no residual. */
    int32_t window_side;
    /* epilogue: one of an activation, a residual (with `leave`, if wanted; or with a ReLU after it) and output_fp32,
     * or none of them */
    const float *terms; /* [columns, 2]: bias and Σw'; of bytes: bias and what a step of the sums is worth */
    clipc_cuda_statistics normalize;
    int32_t activation;          /* clipc_cuda_activation */
    const void *residual;        /* added; NULL: nothing */
    const int32_t *residual_row; /* [rows], or NULL: row r takes residual row r */
    int32_t residual_stride;
    int32_t output_stride;
    void *output;                /* [rows, columns] */
    float *output_fp32;          /* instead of `output`, when not NULL */
    const int32_t *output_row;   /* [rows], or NULL: row r goes to output row r */
    const float *row_scale;      /* s8: [rows], what a step of the input is worth in each row */
    float output_scale;          /* e4m3: an activation's output is e4m3 too, times this */
    clipc_cuda_statistics leave; /* of the output with its residual, in the parts of the plan */
} clipc_cuda_gemm;

/* Launches one product. `plan` is clipc_gemm_select's for this shape. */
cudaError_t clipc_cuda_gemm_run(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan, cudaStream_t stream);

/* One launcher a family of kernels and type. */
typedef cudaError_t clipc_cuda_gemm_launcher(const clipc_cuda_gemm *gemm, const clipc_gemm_plan *plan,
                                             cudaStream_t stream);
clipc_cuda_gemm_launcher clipc_cuda_gemm_mma_f16, clipc_cuda_gemm_mma_bf16;
clipc_cuda_gemm_launcher clipc_cuda_gemm_wgmma_f16, clipc_cuda_gemm_wgmma_bf16;
clipc_cuda_gemm_launcher clipc_cuda_gemm_mma_e4m3, clipc_cuda_gemm_mma_s8;
clipc_cuda_gemm_launcher clipc_cuda_gemm_wgmma_e4m3, clipc_cuda_gemm_wgmma_s8;
clipc_cuda_gemm_launcher clipc_cuda_gemm_skinny_f16, clipc_cuda_gemm_skinny_bf16;

#ifdef __cplusplus
}
#endif

#endif
