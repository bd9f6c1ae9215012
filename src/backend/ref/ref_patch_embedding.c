#include "backend/ref/ref_operations.h"

#include <string.h>

/* Copies the patch whose first pixel is (top, left) to `patch` [3, patch_size, patch_size]. */
static void cut_patch(const float *pixels, size_t image_size, size_t top, size_t left, size_t patch_size, float *patch)
{
    for (size_t channel = 0; channel < 3; channel++)
        for (size_t y = 0; y < patch_size; y++) {
            const float *row = pixels + (channel * image_size + top + y) * image_size + left;
            memcpy(patch + (channel * patch_size + y) * patch_size, row, patch_size * sizeof *patch);
        }
}

void clipc_ref_patch_embedding(const float *pixels, size_t image_size, size_t patch_size, const float *weight,
                               size_t width, float *patch, float *output)
{
    const size_t grid = image_size / patch_size;
    for (size_t row = 0; row < grid; row++)
        for (size_t column = 0; column < grid; column++) {
            cut_patch(pixels, image_size, row * patch_size, column * patch_size, patch_size, patch);
            clipc_ref_linear(patch, 1, 3 * patch_size * patch_size, weight, NULL, width,
                             output + (row * grid + column) * width);
        }
}
