/* What an engine is made of. */
#ifndef CLIPC_API_ENGINE_H
#define CLIPC_API_ENGINE_H

#include "backend/backend.h"

#include <pthread.h>

struct clipc_engine {
    clipc_model *model; /* retained */
    const clipc_backend *backend;
    void *compiled;
    clipc_compiled_info info;
    size_t max_batch;
    bool image_tower;
    bool text_tower;
    pthread_mutex_t lock; /* held while encoding: one caller at a time has the workspace */
    bool lock_made;
    float *floats;       /* [float_images, 3, image_size, image_size]: of images that come as bytes. NULL where the */
    size_t float_images; /* backend takes bytes itself, or there is no image tower */
    /* One batch of texts as rows (text_rows.h), packed together. */
    int32_t *ids;    /* [max_batch × most rows of one] */
    size_t *offsets; /* [max_batch + 1] */
};

/* What a config asks for: the first steps of clipc_engine_create, for whoever packs without an engine. */
clipc_status clipc_engine_settle(const clipc_model *model, const clipc_engine_config *config,
                                 const clipc_backend **backend, clipc_compile_options *options, clipc_error *error);
/* The same for whoever writes blocks: the backend need not be able to run here. */
clipc_status clipc_engine_settle_blocks(const clipc_model *model, const clipc_engine_config *config,
                                        const clipc_block_writer *writer, clipc_compile_options *options,
                                        clipc_error *error);

#endif
