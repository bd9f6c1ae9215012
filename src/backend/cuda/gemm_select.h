/* Which kernel and tile computes a product: plain host code, so that it can be printed and tested with no GPU. */
#ifndef CLIPC_BACKEND_CUDA_GEMM_SELECT_H
#define CLIPC_BACKEND_CUDA_GEMM_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the operands of a product are kept in. Around a product of bytes, rows are fp16. */
typedef enum clipc_cuda_type { CLIPC_CUDA_F16, CLIPC_CUDA_BF16, CLIPC_CUDA_E4M3, CLIPC_CUDA_S8 } clipc_cuda_type;

static inline bool clipc_cuda_is_bytes(clipc_cuda_type type)
{
    return type == CLIPC_CUDA_E4M3 || type == CLIPC_CUDA_S8;
}

typedef enum clipc_gemm_kind {
    CLIPC_GEMM_SM80,   /* mma.sync, cp.async: every card from sm_80 on */
    CLIPC_GEMM_SKINNY, /* few rows: every block holds its whole part of the operands, a cluster shares out the depth */
    CLIPC_GEMM_SM90    /* wgmma, TMA, warp-specialised, persistent */
} clipc_gemm_kind;

typedef struct clipc_gemm_plan {
    clipc_gemm_kind kind;
    int32_t tile_rows;
    int32_t tile_columns;
    bool ping_pong;  /* sm90, bytes: each warpgroup has its own tile, one computes while the other finishes */
    int32_t cluster; /* blocks that share out the depth (skinny) or share the weights of their columns (sm90) */
    int32_t blocks;  /* of the grid */
} clipc_gemm_plan;

typedef struct clipc_gemm_device {
    int32_t multiprocessors;
    int32_t architecture; /* 80, 86, 89, 90, 100, 120; 80 to have the portable kernels */
    bool fp8;             /* it multiplies e4m3 */
} clipc_gemm_device;

/* Of a product of `rows` × `columns` over `depth`; `residual`: its epilogue adds one. */
clipc_gemm_plan clipc_gemm_select(const clipc_gemm_device *device, int32_t rows, int32_t columns, int32_t depth,
                                  bool residual);

/* Whether the tile can compute a matrix of so many columns: most tiles of sm90 take 32 at a time. */
bool clipc_gemm_takes(const clipc_gemm_plan *plan, int32_t columns);

/* Columns that one pair of row statistics covers when this plan's kernel leaves them (gemm.h). */
int32_t clipc_gemm_part_width(const clipc_gemm_plan *plan);

/* "sm90 128x256, cluster 1, 132 blocks" → text. */
void clipc_gemm_plan_text(const clipc_gemm_plan *plan, char *text, size_t size);

/* The index-th tile that a kind has; false past the last. What the device test goes through. */
bool clipc_gemm_variant(size_t index, clipc_gemm_plan *out);
/* Fills `blocks` (and for skinny `cluster`) of a variant for a shape. */
void clipc_gemm_fit(clipc_gemm_plan *plan, const clipc_gemm_device *device, int32_t rows, int32_t columns,
                    int32_t depth);

#ifdef __cplusplus
}
#endif

#endif
