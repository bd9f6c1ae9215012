/* What clipc bench encodes, for one tower: random inputs, loaded ones, or files that are prepared anew each time. */
#ifndef CLIPC_TOOLS_BENCH_WORK_H
#define CLIPC_TOOLS_BENCH_WORK_H

#include "bench_files.h"
#include "options.h"

#include "clipc/clipc.h"

/* Inputs go in a circle of this many variants: images start one item further on each time, texts have other ids. */
#define BENCH_VARIANTS 8

typedef enum bench_source { BENCH_RANDOM, BENCH_LOADED, BENCH_FILES } bench_source;

/* One batch of texts. */
typedef struct bench_texts {
    int32_t *ids;
    size_t *offsets; /* [batch + 1] */
} bench_texts;

typedef struct bench_work {
    clipc_engine *engine;
    bool text;
    size_t batch;
    size_t dimension;
    bench_source source;
    const bench_files *files; /* BENCH_FILES */
    size_t item_values;       /* floats of one image */
    float *pixels;            /* [batch + variants − 1, item_values] */
    bench_texts texts[BENCH_VARIANTS];
    size_t *tokens; /* [token_count]: of one image, or the lengths of the texts of a batch, starting over at the end */
    size_t token_count;
} bench_work;

/* Engine and files (NULL: there are none for this tower) stay the caller's. */
void bench_work_create(bench_work *work, const tool_settings *settings, const clipc_model *model, clipc_engine *engine,
                       const bench_files *files, bool text, size_t batch);
void bench_work_destroy(bench_work *work);

/* What one thread needs to encode batches. */
typedef struct bench_caller {
    const bench_work *work;
    float *embeddings; /* [batch, D] */
    void *pixels;      /* of files */
    bench_texts texts; /* of files */
} bench_caller;

void bench_caller_create(bench_caller *caller, const bench_work *work);
void bench_caller_destroy(bench_caller *caller);
/* Whether bench_prepare has anything to do. */
bool bench_prepares(const bench_work *work);
/* Reads and preprocesses the inputs of that iteration, where they are files. */
void bench_prepare(bench_caller *caller, size_t iteration);
/* Encodes them; each iteration sees other inputs than the one before. */
void bench_encode(bench_caller *caller, size_t iteration);

#endif
