/* The weights of linear layers in the layout that the GEMM kernels read. */
#ifndef CLIPC_BACKEND_CPU_PACK_H
#define CLIPC_BACKEND_CPU_PACK_H

#include "backend/cpu/kernels.h"
#include "backend/cpu/packed_rows.h"
#include "io/tensor.h"

#include <stdint.h>

/* What the bytes of a packed matrix mean: panels of panel_columns outputs,  [panel][unit of k][output of the panel], a
 * unit being 32 bits that hold `depth` consecutive k of one output. Two matrices with equal layouts are read by the
 * same kernel. Inner dimension and outputs are padded with zeros to 16 × blocks units and panel_count panels. */
typedef struct clipc_packed_layout {
    clipc_dtype dtype;    /* F32 (depth 1), BF16 (2) or I8 (4) */
    size_t panel_columns; /* a multiple of 16 that divides 32 */
    size_t panel_count;
    size_t depth;
    size_t blocks;
} clipc_packed_layout;

/* One block of bytes: the panels, then a bias of fp32 for each column of all panels, and for I8 two more such arrays:
 * the scales that turn the integers into weights, and each output's sum of integers over k. */
typedef struct clipc_packed_weights {
    clipc_packed_layout layout;
    void *panels;
    float *bias;
    float *scales;     /* NULL but for I8 */
    int32_t *integers; /* Σ over k; NULL but for I8 */
} clipc_packed_weights;

/* The layout of [outputs, inner] in up to three parts of `outputs` rows, each padded to whole rows of buffers. */
clipc_packed_layout clipc_packed_layout_make(clipc_dtype dtype, size_t panel_columns, size_t parts, size_t outputs,
                                             size_t inner);

/* Bytes of such a block, a multiple of CLIPC_ALIGNMENT. False on overflow. */
bool clipc_packed_bytes(const clipc_packed_layout *layout, size_t *bytes);

/* The weights that lie in `block`, which is aligned to CLIPC_ALIGNMENT: packed before, or to be filled. */
clipc_packed_weights clipc_packed_weights_at(const clipc_packed_layout *layout, void *block);

/* Where a panel begins. */
static inline void *clipc_packed_panel(const clipc_packed_weights *weights, size_t panel)
{
    const clipc_packed_layout *layout = &weights->layout;
    return (uint32_t *)weights->panels + panel * layout->blocks * CLIPC_BLOCK * layout->panel_columns;
}

/* Copies weights to a layout that differs from theirs in the width of panels alone: the same numbers. */
void clipc_repack(const clipc_packed_weights *from, const clipc_packed_weights *to);

/* Fills one panel and its bias from rows first … first + count - 1 of `weight` [·, inner] and of `bias` (NULL: zeros).
 * count ≤ panel_columns; columns beyond it become 0. Returns whether all it read was finite: the bytes are in a cache
 * here, a search of its own would fetch them again. */
bool clipc_pack_panel(const clipc_kernels *kernels, const clipc_packed_weights *weights, size_t panel,
                      const clipc_tensor *weight, const clipc_tensor *bias, size_t first, size_t count, size_t inner);

#endif
