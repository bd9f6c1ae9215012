#include "golden/expected.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const clipc_tensor *find(const expected *file, const char *name)
{
    return clipc_safetensors_find(file->tensors, name);
}

/* A copy of the tensor's elements, which are of `size` bytes. NULL when there is no such tensor. */
static void *copy(const clipc_tensor *tensor, size_t size)
{
    if (!tensor || clipc_dtype_size(tensor->dtype) != size)
        return NULL;
    void *values = malloc(tensor->count * size);
    if (values)
        memcpy(values, tensor->data, tensor->count * size);
    return values;
}

/* Sequences are packed and have offsets, or else are the rows of a matrix. */
static bool read_texts(expected *file)
{
    const clipc_tensor *ids = find(file, "input_ids");
    const clipc_tensor *offsets = find(file, "offsets");
    file->ids = copy(ids, sizeof *file->ids);
    file->offsets = calloc(file->texts + 1, sizeof *file->offsets);
    if (!file->ids || !file->offsets)
        return false;
    for (size_t i = 0; i <= file->texts; i++) {
        int64_t offset = (int64_t)(ids->rank == 2 ? i * ids->shape[1] : 0);
        if (offsets)
            memcpy(&offset, (const char *)offsets->data + i * sizeof offset, sizeof offset);
        file->offsets[i] = (size_t)offset;
    }
    return true;
}

static bool read_all(expected *file)
{
    const clipc_tensor *image_embeds = find(file, "image_embeds");
    const clipc_tensor *text_embeds = find(file, "text_embeds");
    if (!image_embeds || !text_embeds)
        return false;
    file->images = image_embeds->shape[0];
    file->texts = text_embeds->shape[0];
    file->dimension = image_embeds->shape[1];
    file->pixels = copy(find(file, "pixel_values"), sizeof(float));
    file->image_embeds = copy(image_embeds, sizeof(float));
    file->text_embeds = copy(text_embeds, sizeof(float));
    file->logits_per_image = copy(find(file, "logits_per_image"), sizeof(float));
    return file->pixels && file->image_embeds && file->text_embeds && read_texts(file);
}

clipc_status expected_open(const char *path, expected *out, clipc_error *error)
{
    *out = (expected){0};
    CLIPC_TRY(clipc_mapped_file_open(path, 0, &out->file, error));
    clipc_status status = clipc_safetensors_open(out->file.bytes, out->file.size, path, &out->tensors, error);
    if (status == CLIPC_OK && !read_all(out))
        status = clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: a tensor is missing", path);
    if (status != CLIPC_OK)
        expected_close(out);
    return status;
}

void expected_close(expected *file)
{
    free(file->pixels);
    free(file->image_embeds);
    free(file->ids);
    free(file->offsets);
    free(file->text_embeds);
    free(file->logits_per_image);
    clipc_safetensors_close(&file->tensors);
    clipc_mapped_file_close(&file->file);
    *file = (expected){0};
}
