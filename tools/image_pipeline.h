/* Images read, decoded and preprocessed by worker threads while the main thread encodes, in the order of the inputs.
 */
#ifndef CLIPC_TOOLS_IMAGE_PIPELINE_H
#define CLIPC_TOOLS_IMAGE_PIPELINE_H

#include "options.h"

#include "clipc/clipc.h"

typedef struct image_pipeline image_pipeline;

typedef enum image_outcome {
    IMAGE_READY,
    IMAGE_FAILED, /* exit status 1 */
    IMAGE_SKIPPED /* found in a directory and not an image: no failure */
} image_outcome;

typedef struct image_item {
    char *path;
    image_outcome outcome;
    char *reason;    /* unless ready: a sentence without the path */
    char *thumbnail; /* when asked for: a data URI, or NULL */
    bool walked;     /* the pipeline's own: found in a directory */
    bool done;       /* the pipeline's own: a worker has finished it */
} image_item;

/* Of images one after the other: one of the two is NULL. */
typedef struct image_pixels {
    const float *floats;  /* [count, 3, height, width] */
    const uint8_t *bytes; /* [count, height, width, 3], for clipc_engine_encode_bytes */
} image_pixels;

/* Starts the threads, which hold at most about one and a half batches of images. `settings` and `model` must outlive
 * the pipeline. */
image_pipeline *image_pipeline_create(const tool_settings *settings, const clipc_model *model, size_t batch,
                                      bool as_bytes, bool thumbnails);

/* The next images: either one that is not ready, or a run of ready ones, at most a batch, whose pixels lie one after
 * the other at *pixels. They stay valid until the next call. Returns their number, 0 at the end. A run is shorter than
 * a batch when it is the first (results should come soon) or when the inputs make one wait. */
size_t image_pipeline_next(image_pipeline *pipeline, const image_item **items, image_pixels *pixels);

/* Only at the end of the inputs. */
void image_pipeline_destroy(image_pipeline **pipeline);

#endif
