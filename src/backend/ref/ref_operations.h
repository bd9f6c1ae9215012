/* The operations of a CLIP in plain C: the truth that every faster kernel is checked against.
 *
 * Each takes any shape, reads and writes fp32, and adds up in double, so that what it returns is the exact result but
 * for one rounding. All matrices are row-major and dense. Arrays must not overlap unless a comment says so.
 */
#ifndef CLIPC_BACKEND_REF_OPERATIONS_H
#define CLIPC_BACKEND_REF_OPERATIONS_H

#include "model/config.h"

#include <stdbool.h>
#include <stddef.h>

/* output[row] = (input[row] − mean) / √(variance + epsilon) × weight + bias, mean and (biased) variance over the row.
 * input and output [rows, width], weight and bias [width]. Ba, Kiros & Hinton 2016. In place is allowed. */
void clipc_ref_layer_norm(const float *input, size_t rows, size_t width, const float *weight, const float *bias,
                          float epsilon, float *output);

/* output = input × weightᵀ + bias, as torch.nn.Linear. input [rows, in], weight [out, in], bias [out] or NULL,
 * output [rows, out]. */
void clipc_ref_linear(const float *input, size_t rows, size_t in, const float *weight, const float *bias, size_t out,
                      float *output);

/* Multi-head scaled dot-product attention over the tokens of one item, Vaswani et al. 2017: for each head,
 * softmax(query × keyᵀ / √head_width) × value. query, key, value and output [tokens, width], head h is columns
 * h × width/heads …; causal: token t sees tokens 0 … t only, and the last one not itself when `last_unseen`. `scores`
 * is scratch of [tokens]. */
void clipc_ref_attention(const float *query, const float *key, const float *value, size_t tokens, size_t width,
                         size_t heads, bool causal, bool last_unseen, double *scores, float *output);
/* The same of one query alone, which sees all tokens: query and output [width]. */
void clipc_ref_attention_pooling(const float *query, const float *key, const float *value, size_t tokens, size_t width,
                                 size_t heads, double *scores, float *output);

/* mean = the mean of the rows: rows [count, width], mean [width]. */
void clipc_ref_mean_rows(const float *rows, size_t count, size_t width, float *mean);

/* values[i] = activation(values[i]). */
void clipc_ref_activation(clipc_activation activation, float *values, size_t count);

/* sum[i] += values[i]. */
void clipc_ref_add(float *sum, const float *values, size_t count);

/* A convolution whose stride is its kernel's size, without padding: pixels [3, image_size, image_size] are cut into
 * patches of patch_size², row by row, pixels that fill no patch are left out, and each patch goes through
 * weight [width, 3, patch_size, patch_size]. output [(image_size / patch_size)², width]; `patch` is scratch of
 * [3 × patch_size²]. */
void clipc_ref_patch_embedding(const float *pixels, size_t image_size, size_t patch_size, const float *weight,
                               size_t width, float *patch, float *output);

/* A convolution of kernel × kernel pixels, `kernel` being odd, with kernel / 2 zeros around the image, and no bias, as
 * torch.nn.Conv2d: input [inputs, side, side], weight [outputs, inputs, kernel, kernel], output [outputs, s, s] with
 * s = side / stride, rounded up. */
void clipc_ref_convolution(const float *input, size_t inputs, size_t side, const float *weight, size_t outputs,
                           size_t kernel, size_t stride, float *output);

/* values[c][i] = (values[c][i] - mean[c]) / √(variance[c] + epsilon) × weight[c] + bias[c]: BatchNorm at inference,
 * Ioffe & Szegedy 2015. values [channels, area], the rest [channels]. */
void clipc_ref_batch_norm(float *values, size_t channels, size_t area, const float *weight, const float *bias,
                          const float *mean, const float *variance, double epsilon);

/* values[i] = max(values[i], 0). */
void clipc_ref_relu(float *values, size_t count);

/* The means of squares of pool × pool pixels that lie side by side: input [channels, side, side], output
 * [channels, s, s] with s = side / pool, rounded down. */
void clipc_ref_average_pool(const float *input, size_t channels, size_t side, size_t pool, float *output);

#endif
