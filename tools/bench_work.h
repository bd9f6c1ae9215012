/* What clipc bench encodes: random inputs for one tower. */
#ifndef CLIPC_TOOLS_BENCH_WORK_H
#define CLIPC_TOOLS_BENCH_WORK_H

#include "options.h"

#include "clipc/clipc.h"

typedef struct bench_work {
    clipc_engine *engine;
    bool text;
    size_t batch;
    size_t *tokens; /* [token_count]: of one image, or the lengths dealt round robin to the texts of a batch */
    size_t token_count;
    size_t batch_tokens; /* of all items of a batch */
    size_t item_values;  /* floats of one image */
    float *pixels;       /* [batch + spare items, item_values] */
    int32_t *ids;        /* [variants, batch_tokens] */
    size_t *offsets;     /* [batch + 1] */
    float *embeddings;   /* [batch, D] */
} bench_work;

/* Makes the inputs and the engine. */
void bench_work_create(bench_work *work, const tool_settings *settings, const clipc_model *model,
                       const clipc_model_info *info);
void bench_work_destroy(bench_work *work);
/* Encodes one batch; each iteration sees other inputs than the one before. */
void bench_work_encode(bench_work *work, size_t iteration);

#endif
