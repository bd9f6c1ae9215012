/* The narrow table that every backend fills. Only a backend knows what machine it runs on. */
#ifndef CLIPC_BACKEND_BACKEND_H
#define CLIPC_BACKEND_BACKEND_H

#include "backend/step_target.h"
#include "backend/tap.h"
#include "model/linear.h"
#include "model/model.h"
#include "model/tuning.h"

/* What a compiled model must be able to do, settled by the API before it calls a backend. */
typedef struct clipc_compile_options {
    clipc_precision precision; /* one the backend lists, or AUTO */
    size_t threads;            /* at least 1 */
    size_t max_batch;          /* at least 1; encode calls never exceed it */
    const char *cpu_level;     /* NULL: the best there is */
    bool image_tower;
    bool text_tower;
    const char *devices; /* NULL: the first */
    size_t streams;      /* 0: the backend's own choice */
    bool batch_invariant;
    const char *tensorrt_cache; /* of backend tensorrt: a folder, or NULL */
    int tensorrt_level;         /* negative: its own default */
    size_t tensorrt_workspace;  /* bytes; 0: its own default */
    clipc_batches tensorrt_image_batches;
    clipc_batches tensorrt_text_batches;
    const char *keep_precise;   /* NULL, or a list (model/keep_precise.h) that fits the model; see mixes_precisions */
    const clipc_tuning *tuning; /* NULL: every choice is clipc's own */
    clipc_log_function log;     /* may be NULL */
    void *log_user;
} clipc_compile_options;

/* What came of it. Strings are static. */
typedef struct clipc_compiled_info {
    clipc_precision precision;
    const char *isa;
    size_t threads; /* that encode calls use */
    size_t packed_bytes;
    size_t workspace_bytes;
    size_t devices; /* 0 stands for 1, as streams does */
    size_t streams;
} clipc_compiled_info;

/* Receives the linear layers of a model as an engine file holds them: `section` has all but the name. */
typedef clipc_status (*clipc_packed_function)(void *context, bool image, size_t linear, const clipc_section *section,
                                              clipc_error *error);

/* What clipc_model_tune asks of a backend: images and texts to measure with, NULL for a tower that is not there. */
typedef struct clipc_tune_request {
    bool full;
    clipc_choice_set *set; /* what it has already is not measured again */
    size_t count;          /* items, as many as max_batch */
    const float *pixels;
    const int32_t *ids;
    const size_t *offsets;
    clipc_tuning_function measured; /* may be NULL */
    void *user;
} clipc_tune_request;

/* Puts a measured choice into the set and tells of it. */
clipc_status clipc_tune_choose(const clipc_tune_request *request, const char *name, const char *value, double speedup,
                               clipc_error *error);
/* The set for this engine among options->tuning; NULL, and a line in the log, when there is none. */
const clipc_choice_set *clipc_tune_find(const clipc_model *model, const clipc_compile_options *options,
                                        const char *made_for);

typedef struct clipc_backend {
    const char *name;
    bool automatic; /* "auto" may take it */
    /* CLIPC_OK when this machine can run it; else the reason. */
    clipc_status (*probe)(clipc_error *error);
    bool (*supports_precision)(clipc_precision precision);
    /* Packs weights and plans workspace. The model outlives *compiled. Weights that are NaN or infinite fail with the
     * sentence of clipc_model_check_finite; a backend that reads them all anyway need not call it to find out. */
    clipc_status (*compile)(const clipc_model *model, const clipc_compile_options *options, void **compiled,
                            clipc_error *error);
    void (*info)(const void *compiled, clipc_compiled_info *info);
    /* What compile would settle on, all sizes 0. */
    clipc_status (*plan)(const clipc_compile_options *options, clipc_compiled_info *info, clipc_error *error);
    bool mixes_precisions; /* keep_precise may be given */
    bool keeps_halves;     /* of those: in fp16 alone (clipc_keep_precise_check_halves) */
    bool concurrent; /* encode_images and encode_bytes may be called by several threads at once, with any count */
    /* pixels [count, 3, image_size, image_size] → raw projections [count, D]; count ≤ max_batch. One caller at a time.
     */
    clipc_status (*encode_images)(void *compiled, const float *pixels, size_t count, float *embeddings,
                                  clipc_error *error);
    /* The same of the bytes [count, image_size, image_size, 3] that clipc_preprocess_bytes makes. NULL: the API makes
     * floats of them. */
    clipc_status (*encode_bytes)(void *compiled, const uint8_t *bytes, size_t count, float *embeddings,
                                 clipc_error *error);
    /* Token ids, checked by the API against vocabulary and context; already cut after the pooled token, which is the
     * last of each sequence (where attention is causal what follows cannot matter, and elsewhere nothing follows).
     * Where clipc_config_places_tokens says so each is a place (model/token_place.h), the pooled one last; with a text
     * class token that last row does not see itself, and every other row sees itself and those before it.
     * → raw projections [count, D]. */
    clipc_status (*encode_tokens)(void *compiled, const int32_t *ids, const size_t *offsets, size_t count,
                                  float *embeddings, clipc_error *error);
    void (*destroy)(void **compiled);
    /* Packs what compile would, one layer at a time, in the order of model/linear.h, image tower first; settles
     * precision and isa of *info. NULL: engine files cannot be made for this backend. */
    clipc_status (*pack)(const clipc_model *model, const clipc_compile_options *options,
                         clipc_packed_function function, void *context, clipc_compiled_info *info, clipc_error *error);
    /* One tensor of an engine file: of fp32 as it was before it was packed, else what its numbers stand for. NULL
     * where packing cannot be undone. */
    clipc_status (*unpack)(const clipc_model *model, bool image, const clipc_linear_place *place, float *values,
                           clipc_error *error);

    /* Optional: NULL where a backend has nothing that one could choose among. *count is at least 1, or it fails. */
    clipc_status (*device_count)(size_t *count, clipc_error *error);
    /* Fills all but size, backend and index of *info, which is zeroed. */
    clipc_status (*device_info)(size_t index, clipc_device_info *info, clipc_error *error);

    /* Optional: NULL where a backend cannot. Called by one caller at a time, as the encode calls are. */
    /* Starts from zero, or stops. Recording allocates nothing. The target, unless it is NULL, is told of every run. */
    clipc_status (*record_steps)(void *compiled, bool on, const clipc_step_target *target, clipc_error *error);
    /* The index-th kind of step recorded; false past the last. */
    bool (*step)(void *compiled, size_t index, clipc_step_info *info);
    clipc_status (*measure_peaks)(void *compiled, clipc_peaks *peaks, clipc_error *error);
    /* flags: CLIPC_MEASURE_…. Sums begin at zero. Of a concurrent backend it may come while calls are under way. */
    clipc_status (*measure)(void *compiled, unsigned flags, clipc_error *error);
    /* Fills all but size. */
    void (*parts)(void *compiled, clipc_call_parts *parts);
    /* From now on hands what it computes on its way to the target's function, unless that is NULL (backend/tap.h). */
    clipc_status (*set_tap)(void *compiled, const clipc_tap_target *target, clipc_error *error);
    /* Both or none: what choices depend on beside the model's shapes, and measuring them. */
    void (*made_for)(const void *compiled, char text[CLIPC_MADE_FOR]);
    clipc_status (*tune)(void *compiled, const clipc_tune_request *request, clipc_error *error);
} clipc_backend;

/* Writes engine files whose towers are blocks, for a backend that need not be able to run here, nor be built. */
typedef struct clipc_block_writer {
    const char *backend;
    unsigned layout; /* the version of the blocks */
    bool (*supports_precision)(clipc_precision precision);
    clipc_precision (*settle)(const clipc_compile_options *options);
    const char *(*isa)(clipc_precision precision); /* which devices take them; static */
    /* The sections of the towers that are wanted, a part at a time. Weights were found finite. */
    clipc_status (*write)(const clipc_model *model, const clipc_compile_options *options, clipc_engine_writer *writer,
                          clipc_error *error);
} clipc_block_writer;

extern const clipc_block_writer clipc_block_writer_cuda;

/* The one for that backend; NULL: its engine files are made by clipc_backend's pack, or not at all. */
const clipc_block_writer *clipc_block_writer_find(const char *backend);

extern const clipc_backend clipc_backend_cpu;
extern const clipc_backend clipc_backend_ref;
extern const clipc_backend clipc_backend_tensorrt; /* only where CLIPC_HAVE_TENSORRT is defined */
extern const clipc_backend clipc_backend_cuda;     /* only where CLIPC_HAVE_CUDA is defined */

/* The index-th backend in order of preference for "auto"; NULL past the last. */
const clipc_backend *clipc_backend_at(size_t index);
/* A name that is not known is CLIPC_ERROR_ARGUMENT; one that this build leaves out CLIPC_ERROR_UNSUPPORTED. */
clipc_status clipc_backend_find(const char *name, const clipc_backend **out, clipc_error *error);

#endif
