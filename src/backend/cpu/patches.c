#include "backend/cpu/patches.h"

#include <string.h>

/* How many lines of a patch ahead its pixels are fetched. */
#define LINES_AHEAD 8

/* Asks for a patch's pixels LINES_AHEAD below `from`, of which the patch has `left` lines: its lines lie an image's
 * width apart, too far for the processor to foresee them. */
static void fetch_pixels(const float *from, size_t width, size_t count, size_t left)
{
    if (left <= LINES_AHEAD)
        return;
    for (size_t x = 0; x < count; x += CLIPC_BLOCK)
        __builtin_prefetch(from + LINES_AHEAD * width + x);
}

/* One patch [channel, y, x] of an image to a row of `dtype`, whose blocks lie block_stride apart. */
static void copy_patch(const clipc_cpu_tower *tower, const float *image, size_t index, clipc_dtype dtype,
                       uint32_t *out, size_t block_stride)
{
    const size_t size = tower->image_size;
    const size_t patch = tower->patch_size;
    const float *corner = image + index / (size / patch) * patch * size + index % (size / patch) * patch;
    for (size_t channel = 0; channel < 3; channel++) {
        for (size_t y = 0; y < patch; y++) {
            const float *line = corner + (channel * size + y) * size;
            fetch_pixels(line, size, patch, patch - y);
            clipc_write_columns(tower->kernels, out, block_stride, dtype, (channel * patch + y) * patch, line, patch);
        }
    }
}

void clipc_cpu_pack_patch(const clipc_cpu_tower *tower, const clipc_cpu_workspace *workspace, const float *pixels,
                          clipc_row_tiles tiles, size_t row)
{
    const clipc_packed_layout *layout = &tower->patch_embedding.layout;
    const size_t count = 3 * tower->patch_size * tower->patch_size;
    const size_t token = row % tower->most_tokens;
    const float *image = pixels + row / tower->most_tokens * 3 * tower->image_size * tower->image_size;
    const clipc_packed_row place = clipc_packed_row_at(tiles, layout->blocks, row);
    uint32_t *out = (uint32_t *)(void *)workspace->wide + place.offset;
    if (token < tower->class_tokens) {
        for (size_t block = 0; block < layout->blocks; block++)
            memset(out + block * place.block_stride, 0, CLIPC_BLOCK * sizeof *out);
        if (layout->dtype == CLIPC_DTYPE_I8)
            workspace->row_scales[row] = (clipc_row_scale){0};
    } else if (layout->dtype == CLIPC_DTYPE_I8) {
        uint32_t *halves = workspace->halves + row * clipc_cpu_packed_blocks(count, CLIPC_DTYPE_BF16) * CLIPC_BLOCK;
        copy_patch(tower, image, token - tower->class_tokens, CLIPC_DTYPE_BF16, halves, CLIPC_BLOCK);
        workspace->row_scales[row] = tower->kernels->i8.quantize(halves, count, out, place.block_stride);
    } else {
        memset(out + (layout->blocks - 1) * place.block_stride, 0, CLIPC_BLOCK * sizeof *out);
        copy_patch(tower, image, token - tower->class_tokens, layout->dtype, out, place.block_stride);
    }
}
