/* A file of inputs and of what transformers makes of them (see tests/parity/golden_models.py). */
#ifndef CLIPC_TESTS_EXPECTED_H
#define CLIPC_TESTS_EXPECTED_H

#include "clipc/clipc.h"

#include "base/mapped_file.h"
#include "io/safetensors.h"

/* Allocated arrays, but for what a file leaves out. */
typedef struct expected {
    clipc_mapped_file file;
    clipc_safetensors *tensors;
    size_t images;
    size_t texts;
    size_t dimension;
    float *pixels;       /* [images, 3, size, size] */
    float *image_embeds; /* [images, dimension] */
    int32_t *ids;
    size_t *offsets;         /* [texts + 1] */
    float *text_embeds;      /* [texts, dimension] */
    float *logits_per_image; /* [images, texts] or NULL */
} expected;

clipc_status expected_open(const char *path, expected *out, clipc_error *error);
void expected_close(expected *file);

#endif
