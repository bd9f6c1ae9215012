#include "encode.h"

#include "session.h"

#include <math.h>

const char not_finite[] = "the model's arithmetic overflows on it";

/* CLIPC_ERROR_FORMAT: a row is not finite, the others are valid. */
static void check(clipc_status status, const clipc_error *error)
{
    if (status != CLIPC_OK && status != CLIPC_ERROR_FORMAT)
        quit_failed(error);
}

void encode_images(clipc_engine *engine, const image_pixels *pixels, size_t count, unsigned flags, float *rows)
{
    clipc_error error = {0};
    check(pixels->bytes ? clipc_engine_encode_bytes(engine, pixels->bytes, count, flags, rows, &error)
                        : clipc_engine_encode_images(engine, pixels->floats, count, flags, rows, &error),
          &error);
}

void encode_tokens(clipc_engine *engine, token_batch *batch, unsigned flags, float *rows)
{
    clipc_error error = {0};
    check(clipc_engine_encode_tokens(engine, batch->ids, batch->offsets, batch->count, flags, rows, &error), &error);
    batch->count = 0;
}

bool embedding_is_finite(const float *row, size_t dimension)
{
    for (size_t i = 0; i < dimension; i++)
        if (!isfinite(row[i]))
            return false;
    return true;
}
