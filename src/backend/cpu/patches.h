/* Images cut into patches: the rows that the patch embedding multiplies. */
#ifndef CLIPC_BACKEND_CPU_PATCHES_H
#define CLIPC_BACKEND_CPU_PATCHES_H

#include "backend/cpu/encoder.h"

/* Packs row `row` of a micro-batch to workspace->wide: one patch, or zeros for a class token, whose X is the position
 * row alone. `pixels` [items, 3, image_size, image_size]. */
void clipc_cpu_pack_patch(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace, const float *pixels,
                          clipc_row_tiles tiles, size_t row);

#endif
