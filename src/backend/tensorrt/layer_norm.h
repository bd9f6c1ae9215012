/* LayerNorm over rows on a device, for runtimes that have no good one of their own: any width, any of three types,
 * statistics in fp32 whatever the type. */
#ifndef CLIPC_BACKEND_TENSORRT_LAYER_NORM_H
#define CLIPC_BACKEND_TENSORRT_LAYER_NORM_H

#include "onnx/plugin.h"

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLIPC_LAYER_NORM_LEAST_WIDTH CLIPC_ONNX_PLUGIN_LEAST_WIDTH
#define CLIPC_LAYER_NORM_MOST_WIDTH  CLIPC_ONNX_PLUGIN_MOST_WIDTH

typedef enum clipc_layer_norm_type {
    CLIPC_LAYER_NORM_FP32,
    CLIPC_LAYER_NORM_FP16,
    CLIPC_LAYER_NORM_BF16
} clipc_layer_norm_type;

/* output = (x − mean(x)) / √(variance(x) + epsilon) × weight + bias, the variance being that of the row itself
 * (divided by width), as torch.nn.LayerNorm has it. With a residual x = input + residual, rounded to `type`, as two
 * operators one after the other would have it; without one x = input. All pointers are device memory, rows follow each
 * other without padding. `output` and `sum` may be `input` or `residual`. */
typedef struct clipc_layer_norm {
    clipc_layer_norm_type type;           /* of input, residual, sum and output */
    clipc_layer_norm_type parameter_type; /* of weight and bias: fp32, or `type` */
    const void *input;                    /* [rows, width] */
    const void *residual;                 /* [rows, width], or NULL */
    void *sum;                            /* [rows, width]: x; NULL when there is no residual, or nobody wants it */
    const void *weight;                   /* [width] */
    const void *bias;                     /* [width] */
    void *output;                         /* [rows, width] */
    int64_t rows;                         /* none is nothing to do */
    int32_t width;                        /* 64 … 8192 */
    float epsilon;
} clipc_layer_norm;

/* Starts it on the stream; any thread may call it. cudaErrorInvalidValue for a width, a type or a number of rows that
 * is not served. */
cudaError_t clipc_layer_norm_run(const clipc_layer_norm *norm, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
