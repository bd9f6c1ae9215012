/* The operations that exist once per instruction set: tables of functions, filled with portable C first and
 * overwritten upward by what the processor has.
 *
 * All pointers are to arrays of 16-float lines (packed_rows.h); arrays a kernel loads whole lines of are aligned to
 * CLIPC_ALIGNMENT and padded with zeros. A result element is always computed by the same operations in the same order,
 * whatever the height of the tile it is in: that is what makes results independent of batch and threads.
 */
#ifndef CLIPC_BACKEND_CPU_KERNELS_H
#define CLIPC_BACKEND_CPU_KERNELS_H

#include "backend/cpu/pack_units.h"
#include "backend/cpu/packed_rows.h"
#include "backend/cpu/round_bf16.h"
#include "base/cpu_features.h"
#include "io/tensor.h"
#include "model/config.h"

#include <stdint.h>

/* The tallest tile and the widest panel of any level, for scratch on the stack. */
#define CLIPC_TILE_ROWS_MAX    14
#define CLIPC_TILE_COLUMNS_MAX 32

/* What happens to a tile of sums on its way to memory: out = f(sum + bias), out += sum + bias, or
 * out = max(out + sum + bias, 0). */
typedef enum clipc_epilogue {
    CLIPC_EPILOGUE_BIAS,
    CLIPC_EPILOGUE_RESIDUAL,
    CLIPC_EPILOGUE_RELU,
    CLIPC_EPILOGUE_RESIDUAL_RELU,
    CLIPC_EPILOGUE_QUICK_GELU,
    CLIPC_EPILOGUE_GELU,
    CLIPC_EPILOGUE_GELU_TANH,
    CLIPC_EPILOGUE_COUNT
} clipc_epilogue;

/* out[i × out_stride + j] = Σ_k a[k / 16][i][k % 16] × b[k][j] for `rows` ≤ tile_rows rows, tile_columns columns and
 * 16 × blocks values of k. Each sum is one chain of fused multiply-adds in the order of k, from 0. (Portable C:
 * rounded products.) out_stride is a multiple of 16. */
typedef void (*clipc_gemm_tile_f32)(size_t rows, size_t blocks, const float *a, const float *b, float *out,
                                    size_t out_stride);

/* Takes sums [rows][columns] (columns a multiple of 16) through an epilogue to line j of row i at
 * out + i × row_stride + j × block_stride. */
typedef void (*clipc_epilogue_f32)(size_t rows, size_t columns, const float *sums, const float *bias, float *out,
                                   size_t row_stride, size_t block_stride);

/* (row - mean) / sqrt(variance + epsilon) × weight + bias over `width` values, the variance being the population's;
 * line j goes to out + j × block_stride, and what the last line has beyond width becomes 0. out may be row. */
typedef void (*clipc_layer_norm_f32)(const float *row, size_t width, const float *weight, const float *bias,
                                     float epsilon, float *out, size_t block_stride);

/* exp(score - max) of `count` scores to lines of block_stride, zeros up to `blocks` lines; returns their sum. `scores`
 * may be changed. */
typedef float (*clipc_softmax_f32)(float *scores, size_t count, size_t blocks, float *out, size_t block_stride);

/* Copies `lines` lines, whatever their values are, to lines of block_stride; NULL: zeros. */
typedef void (*clipc_copy_lines)(const float *from, size_t lines, float *out, size_t block_stride);

/* (((from[0] + from[1]) + from[2]) + from[3]) / 4 of `lines` lines, to lines of block_stride. */
typedef void (*clipc_average_f32)(const float *const from[4], size_t lines, float *out, size_t block_stride);

/* The same on pairs of bf16: unit k holds the values of k 2k (lower half) and 2k + 1. Products are exact, sums are
 * fp32 in the order of k; processors with bf16 arithmetic take numbers below 2^-126 for 0. */
typedef void (*clipc_gemm_tile_bf16)(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,
                                     size_t out_stride);

/* Results rounded to bf16, 32 to a line; of the residuals the one with a ReLU. With 16 columns, `out` may point to the
 * second half of a line.
 */
typedef void (*clipc_epilogue_bf16)(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,
                                    size_t row_stride, size_t block_stride);
typedef void (*clipc_layer_norm_bf16)(const float *row, size_t width, const float *weight, const float *bias,
                                      float epsilon, uint32_t *out, size_t block_stride);

/* exp(scale × (score - max)), like softmax_f32, as pairs: zeros up to `blocks` lines of 32. */
typedef float (*clipc_softmax_bf16)(const float *scores, size_t count, float scale, size_t blocks, uint32_t *out,
                                    size_t block_stride);
/* 16 × groups values, times `scale`, to columns from 16 × first_group on of a packed row. */
typedef void (*clipc_scale_bf16)(const float *values, size_t groups, float scale, uint32_t *out, size_t first_group,
                                 size_t block_stride);

/* The same mean of lines of 32, rounded to bf16. */
typedef void (*clipc_average_bf16)(const uint32_t *const from[4], size_t lines, uint32_t *out, size_t block_stride);

typedef struct clipc_bf16_kernels {
    clipc_cpu_level level;
    size_t tile_rows;
    size_t tile_columns;
    clipc_gemm_tile_bf16 gemm_tile;
    clipc_epilogue_bf16 epilogue[CLIPC_EPILOGUE_COUNT]; /* NULL for the plain residual */
    clipc_layer_norm_bf16 layer_norm;
    clipc_softmax_bf16 softmax;
    clipc_scale_bf16 scale;
    clipc_average_bf16 average;
} clipc_bf16_kernels;

/* The same on bytes: unit k holds the values of k 4k … 4k + 3, unsigned in a and signed in b. Sums are exact, but for
 * wrapping. */
typedef void (*clipc_gemm_tile_i8)(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,
                                   size_t out_stride);

/* What a row's bytes q mean: scale × (q - zero). A row with a value that is not finite has the scale NaN. */
typedef struct clipc_row_scale {
    float scale;
    int32_t zero;
} clipc_row_scale;

/* LayerNorm to bytes, 64 to a line; and a row of bf16 to bytes. What the last line has beyond width is not 0 in the
 * row's terms, but meets weights of 0. */
typedef clipc_row_scale (*clipc_layer_norm_i8)(const float *row, size_t width, const float *weight, const float *bias,
                                               float epsilon, uint32_t *out, size_t block_stride);
typedef clipc_row_scale (*clipc_quantize_i8)(const uint32_t *row, size_t width, uint32_t *out, size_t block_stride);

/* What integer sums lack, from the first row and column on: x = (sum - zero × integers[column]) × scale ×
 * scales[column] + bias[column]. */
typedef struct clipc_i8_terms {
    const clipc_row_scale *row_scales;
    const float *scales;
    const int32_t *integers;
    const float *bias;
} clipc_i8_terms;

/* Takes integer sums [rows][columns] to x and through an epilogue, to fp32 or bf16 as above. */
typedef void (*clipc_epilogue_i8)(size_t rows, size_t columns, const int32_t *sums, const clipc_i8_terms *terms,
                                  uint32_t *out, size_t row_stride, size_t block_stride);

typedef struct clipc_i8_kernels {
    clipc_cpu_level level;
    size_t tile_rows;
    size_t tile_columns;
    clipc_gemm_tile_i8 gemm_tile;
    clipc_layer_norm_i8 layer_norm;
    clipc_quantize_i8 quantize;
    clipc_epilogue_i8 epilogue_f32[CLIPC_EPILOGUE_COUNT];  /* NULL for activations */
    clipc_epilogue_i8 epilogue_bf16[CLIPC_EPILOGUE_COUNT]; /* NULL for the residual */
} clipc_i8_kernels;

typedef struct clipc_kernels {
    clipc_cpu_level level; /* the highest that contributed to the fp32 operations */
    size_t tile_rows;      /* height of the GEMM's register tile */
    size_t tile_columns;   /* width of a panel of packed weights; a multiple of 16 that divides 32 */
    clipc_gemm_tile_f32 gemm_tile;
    clipc_epilogue_f32 epilogue[CLIPC_EPILOGUE_COUNT];
    clipc_layer_norm_f32 layer_norm;
    clipc_softmax_f32 softmax;
    clipc_copy_lines copy_lines; /* for both dtypes */
    clipc_average_f32 average;
    clipc_round_bf16 round_bf16;
    clipc_pack_units pack_units;
    clipc_pack_pairs pack_pairs;
    clipc_bf16_kernels bf16;
    clipc_i8_kernels i8;
    size_t piece_bytes; /* of the rows that a piece of a product reads: 0 is CLIPC_PIECE_BYTES (work_split.h) */
} clipc_kernels;

/* The best of every operation for processors of `level`. */
void clipc_kernels_fill(clipc_kernels *kernels, clipc_cpu_level level);

/* The highest level that contributed to what `precision` uses. */
clipc_cpu_level clipc_kernels_level(const clipc_kernels *kernels, clipc_precision precision);

/* Whether the processor multiplies bf16 itself, so that bf16 is the faster choice. */
bool clipc_kernels_have_bf16(const clipc_kernels *kernels);

/* Height of the register tile, and width of a panel, of the kernel that multiplies weights of `dtype`. */
size_t clipc_kernels_tile_rows(const clipc_kernels *kernels, clipc_dtype dtype);
size_t clipc_kernels_tile_columns(const clipc_kernels *kernels, clipc_dtype dtype);

clipc_epilogue clipc_epilogue_of(clipc_activation activation);

/* One function per operation and level, each in the file it is named after. */
#define CLIPC_DECLARE_KERNELS(isa)                                                                                    \
    void clipc_gemm_tile_f32__##isa(size_t rows, size_t blocks, const float *a, const float *b, float *out,           \
                                    size_t out_stride);                                                               \
    void clipc_bias_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,         \
                               size_t row_stride, size_t block_stride);                                               \
    void clipc_residual_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,     \
                                   size_t row_stride, size_t block_stride);                                           \
    void clipc_relu_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,         \
                               size_t row_stride, size_t block_stride);                                               \
    void clipc_residual_relu_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias,            \
                                        float *out, size_t row_stride, size_t block_stride);                          \
    void clipc_copy_lines_f32__##isa(const float *from, size_t lines, float *out, size_t block_stride);               \
    void clipc_average_f32__##isa(const float *const from[4], size_t lines, float *out, size_t block_stride);         \
    void clipc_quick_gelu_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,   \
                                     size_t row_stride, size_t block_stride);                                         \
    void clipc_gelu_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,         \
                               size_t row_stride, size_t block_stride);                                               \
    void clipc_gelu_tanh_f32__##isa(size_t rows, size_t columns, const float *sums, const float *bias, float *out,    \
                                    size_t row_stride, size_t block_stride);                                          \
    void clipc_layer_norm_f32__##isa(const float *row, size_t width, const float *weight, const float *bias,          \
                                     float epsilon, float *out, size_t block_stride);                                 \
    float clipc_softmax_f32__##isa(float *scores, size_t count, size_t blocks, float *out, size_t block_stride)

CLIPC_DECLARE_KERNELS(c);
CLIPC_DECLARE_KERNELS(avx2);
CLIPC_DECLARE_KERNELS(avx512);
CLIPC_DECLARE_KERNELS(neon);

#define CLIPC_DECLARE_KERNELS_BF16(isa)                                                                               \
    float clipc_softmax_bf16__##isa(const float *scores, size_t count, float scale, size_t blocks, uint32_t *out,     \
                                    size_t block_stride);                                                             \
    void clipc_scale_bf16__##isa(const float *values, size_t groups, float scale, uint32_t *out, size_t first_group,  \
                                 size_t block_stride);                                                                \
    void clipc_gemm_tile_bf16__##isa(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, float *out,    \
                                     size_t out_stride);                                                              \
    void clipc_bias_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,     \
                                size_t row_stride, size_t block_stride);                                              \
    void clipc_relu_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,     \
                                size_t row_stride, size_t block_stride);                                              \
    void clipc_residual_relu_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias,           \
                                         uint32_t *out, size_t row_stride, size_t block_stride);                      \
    void clipc_average_bf16__##isa(const uint32_t *const from[4], size_t lines, uint32_t *out, size_t block_stride);  \
    void clipc_quick_gelu_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias,              \
                                      uint32_t *out, size_t row_stride, size_t block_stride);                         \
    void clipc_gelu_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias, uint32_t *out,     \
                                size_t row_stride, size_t block_stride);                                              \
    void clipc_gelu_tanh_bf16__##isa(size_t rows, size_t columns, const float *sums, const float *bias,               \
                                     uint32_t *out, size_t row_stride, size_t block_stride);                          \
    void clipc_layer_norm_bf16__##isa(const float *row, size_t width, const float *weight, const float *bias,         \
                                      float epsilon, uint32_t *out, size_t block_stride)

#define CLIPC_DECLARE_TILE_I8(isa)                                                                                    \
    void clipc_gemm_tile_i8__##isa(size_t rows, size_t blocks, const uint32_t *a, const uint32_t *b, int32_t *out,    \
                                   size_t out_stride)

#define CLIPC_DECLARE_LINES_I8(isa)                                                                                   \
    clipc_row_scale clipc_layer_norm_i8__##isa(const float *row, size_t width, const float *weight,                   \
                                               const float *bias, float epsilon, uint32_t *out, size_t block_stride); \
    clipc_row_scale clipc_quantize_i8__##isa(const uint32_t *row, size_t width, uint32_t *out, size_t block_stride)

#define CLIPC_DECLARE_EPILOGUE_I8(name, isa)                                                                          \
    void name##__##isa(size_t rows, size_t columns, const int32_t *sums, const clipc_i8_terms *terms, uint32_t *out,  \
                       size_t row_stride, size_t block_stride)

#define CLIPC_DECLARE_EPILOGUES_I8(isa)                                                                               \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_bias_i8_f32, isa);                                                                \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_residual_i8_f32, isa);                                                            \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_bias_i8_bf16, isa);                                                               \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_quick_gelu_i8_bf16, isa);                                                         \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_gelu_i8_bf16, isa);                                                               \
    CLIPC_DECLARE_EPILOGUE_I8(clipc_gelu_tanh_i8_bf16, isa)

CLIPC_DECLARE_TILE_I8(c);
CLIPC_DECLARE_TILE_I8(avx2);
CLIPC_DECLARE_TILE_I8(avx512_vnni);
CLIPC_DECLARE_TILE_I8(neon);
CLIPC_DECLARE_TILE_I8(neon_dotprod);
CLIPC_DECLARE_TILE_I8(neon_i8mm);
CLIPC_DECLARE_LINES_I8(c);
CLIPC_DECLARE_LINES_I8(avx2);
CLIPC_DECLARE_LINES_I8(avx512);
CLIPC_DECLARE_LINES_I8(neon);
CLIPC_DECLARE_EPILOGUES_I8(c);
CLIPC_DECLARE_EPILOGUES_I8(avx2);
CLIPC_DECLARE_EPILOGUES_I8(avx512);
CLIPC_DECLARE_EPILOGUES_I8(avx512_bf16);
CLIPC_DECLARE_EPILOGUES_I8(neon);
CLIPC_DECLARE_EPILOGUES_I8(neon_bf16);

CLIPC_DECLARE_KERNELS_BF16(c);
CLIPC_DECLARE_KERNELS_BF16(avx2);
CLIPC_DECLARE_KERNELS_BF16(avx512);
CLIPC_DECLARE_KERNELS_BF16(avx512_bf16);
CLIPC_DECLARE_KERNELS_BF16(neon);
CLIPC_DECLARE_KERNELS_BF16(neon_bf16);

#define CLIPC_GEMM_ROWS__c         2
#define CLIPC_GEMM_COLUMNS__c      16
#define CLIPC_GEMM_ROWS__avx2      6
#define CLIPC_GEMM_COLUMNS__avx2   16
#define CLIPC_GEMM_ROWS__avx512    14
#define CLIPC_GEMM_COLUMNS__avx512 32
#define CLIPC_GEMM_ROWS__neon      6
#define CLIPC_GEMM_COLUMNS__neon   16

#define CLIPC_GEMM_BF16_ROWS__c              2
#define CLIPC_GEMM_BF16_COLUMNS__c           16
#define CLIPC_GEMM_BF16_ROWS__avx2           6
#define CLIPC_GEMM_BF16_COLUMNS__avx2        16
#define CLIPC_GEMM_BF16_ROWS__avx512         14
#define CLIPC_GEMM_BF16_COLUMNS__avx512      32
#define CLIPC_GEMM_BF16_ROWS__avx512_bf16    14
#define CLIPC_GEMM_BF16_COLUMNS__avx512_bf16 32
#define CLIPC_GEMM_BF16_ROWS__neon           6
#define CLIPC_GEMM_BF16_COLUMNS__neon        16
#define CLIPC_GEMM_BF16_ROWS__neon_bf16      6
#define CLIPC_GEMM_BF16_COLUMNS__neon_bf16   16

#define CLIPC_GEMM_I8_ROWS__c               2
#define CLIPC_GEMM_I8_COLUMNS__c            16
#define CLIPC_GEMM_I8_ROWS__avx2            6
#define CLIPC_GEMM_I8_COLUMNS__avx2         16
#define CLIPC_GEMM_I8_ROWS__avx512_vnni     14
#define CLIPC_GEMM_I8_COLUMNS__avx512_vnni  32
#define CLIPC_GEMM_I8_ROWS__neon            3
#define CLIPC_GEMM_I8_COLUMNS__neon         16
#define CLIPC_GEMM_I8_ROWS__neon_dotprod    6
#define CLIPC_GEMM_I8_COLUMNS__neon_dotprod 16
#define CLIPC_GEMM_I8_ROWS__neon_i8mm       6
#define CLIPC_GEMM_I8_COLUMNS__neon_i8mm    16

#endif
