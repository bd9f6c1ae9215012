/* A compiled model on one stream of one device: weights, workspace, and the towers as sequences of launches. What is
 * here serves one caller at a time; cuda_backend.c deals work to several of them. */
#ifndef CLIPC_BACKEND_CUDA_ENGINE_H
#define CLIPC_BACKEND_CUDA_ENGINE_H

#include "backend/backend.h"
#include "backend/cuda/cuda_device.h"
#include "backend/cuda/cuda_parts.h"
#include "backend/cuda/cuda_steps.h"
#include "backend/cuda/cuda_tap.h"
#include "backend/cuda/cuda_tune.h"
#include "backend/cuda/cuda_weights.h"
#include "backend/cuda/cuda_whole_tower.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/gemm_tiles.h"
#include "backend/cuda/steps.h"
#include "base/thread_pool.h"

#define CLIPC_CUDA_GRAPHS     128
#define CLIPC_CUDA_TRANSFER   ((size_t)32 << 20) /* bytes of a pinned staging area at most; there are two */
#define CLIPC_CUDA_PASS_ITEMS ((size_t)1024)     /* of one pass at most: larger batches are cut */

#define CLIPC_CUDA_MAPS 5

/* A recorded tower: replaying it costs one launch. */
typedef struct clipc_cuda_graph {
    cudaGraphExec_t executable;
    int32_t count; /* items; 0: this place is free */
    int32_t rows;
    int32_t longest;
    bool image;
    int32_t chosen_items; /* clipc_cuda_engine's */
} clipc_cuda_graph;

/* What the device has from the last pass, for CLIPC_MEASURE_NO_TRANSFERS. */
typedef struct clipc_cuda_inputs {
    bool image;
    bool as_bytes;
    int32_t count; /* items; 0: nothing */
    int32_t rows;
    int32_t longest;
} clipc_cuda_inputs;

typedef struct clipc_cuda_engine {
    const clipc_model *model;
    clipc_precision precision;
    clipc_cuda_type type;    /* of rows: fp16 or bf16 */
    clipc_cuda_type operand; /* of the products within layers: the same, or bytes */
    int device_index;
    bool batch_invariant; /* every choice of kernel is the same for any number of rows */
    int32_t chosen_items; /* kernels are those of passes over so many items; 0: of each pass's own */
    int32_t pass_items;   /* images of the pass that is launched; 0: it is one of texts */
    clipc_gemm_device device;
    int32_t shared_limit; /* bytes a block may have */
    cudaStream_t stream;
    cudaEvent_t transferred[2];
    void *staging[2]; /* pinned */
    size_t staging_bytes;
    clipc_thread_pool *copiers; /* fill the areas; NULL: the calling thread alone */
    bool borrows_towers;        /* from another engine on this device */
    bool has_image;
    bool has_text;
    clipc_cuda_tower image;
    clipc_cuda_tower text;
    clipc_cuda_whole_tower_state whole_image; /* for one item of few rows */
    clipc_cuda_whole_tower_state whole_text;
    int32_t batch;    /* items of one pass */
    int32_t capacity; /* rows of one pass */
    int32_t patch_count;
    int32_t dimension; /* of the embedding, rounded up to 8 */
    /* workspace, device memory */
    void *memory;
    size_t workspace_bytes;
    float *pixels;
    uint8_t *byte_pixels; /* when they come as bytes */
    void *patches;        /* shares its place with `hidden` */
    void *rows;
    void *qkv;
    void *context;
    void *hidden;
    void *bytes;      /* operands of a product of bytes */
    float *row_scale; /* s8: what a step is worth in each row of them */
    void *pooled;
    float *statistics;
    float *joined_statistics; /* one pair a row */
    float *pooled_statistics;
    float *embeddings;
    void *maps[CLIPC_CUDA_MAPS]; /* of a ResNet: cuda_resnet.h */
    int32_t *patch_output_row;   /* [batch × patch_count] */
    int32_t *patch_position;
    int32_t *pooled_row;       /* [batch]: in the residual stream */
    int32_t *image_pooled_row; /* zeros where images are pooled by attention: the row of zeros */
    int32_t *ids;
    int32_t *offsets;
    clipc_cuda_graph graphs[CLIPC_CUDA_GRAPHS];
    int32_t next_graph;
    float *byte_values;      /* [3, 256], device memory of its own: clipc_preprocess_values */
    clipc_cuda_steps *steps; /* NULL: nothing was ever recorded */
    clipc_gemm_tiles tiles;  /* measured ones; not those of batch_invariant */
    clipc_cuda_tuner *tuner; /* while products are measured; passes are then no graphs */
    clipc_cuda_tap tap;      /* while it has a function, passes are launched step by step and are no graphs */
    unsigned measure;        /* CLIPC_MEASURE_… */
    clipc_cuda_parts *parts; /* NULL: they were never asked for */
    clipc_cuda_inputs inputs;
} clipc_cuda_engine;

/* What AUTO means. */
static inline clipc_precision clipc_cuda_settled_precision(const clipc_compile_options *options)
{
    return options->precision == CLIPC_PRECISION_AUTO ? CLIPC_PRECISION_FP16 : options->precision;
}

/* Passes take options->max_batch items, or what fits. `owner`: an engine of the same model and options on the same
 * device, which lends its weights and outlives this one; NULL: they are packed. */
clipc_status clipc_cuda_engine_create(const clipc_model *model, const clipc_compile_options *options, int device_index,
                                      const clipc_cuda_engine *owner, clipc_cuda_engine **out, clipc_error *error);
void clipc_cuda_engine_destroy(clipc_cuda_engine **engine);
/* The items of the largest pass, below the engine's own, whose workspace takes at most so many bytes. 0: none does. */
size_t clipc_cuda_fitting_batch(const clipc_cuda_engine *engine, size_t bytes);

/* Host memory to device memory, which may still be under way on return; `from` may be changed then, unless it is
 * pinned memory. */
clipc_status clipc_cuda_upload(clipc_cuda_engine *engine, const void *from, size_t bytes, void *to,
                               clipc_error *error);
/* So many threads of the host fill the pinned areas, the calling one counted, or fewer, where more would not help. */
clipc_status clipc_cuda_use_copiers(clipc_cuda_engine *engine, size_t threads, clipc_error *error);
/* As clipc_backend's, in as many passes as it takes. Pixels are floats, or with `as_bytes` bytes [count, image_size,
 * image_size, 3]. */
clipc_status clipc_cuda_encode_images(clipc_cuda_engine *engine, const void *pixels, bool as_bytes, size_t count,
                                      float *embeddings, clipc_error *error);
clipc_status clipc_cuda_encode_tokens(clipc_cuda_engine *engine, const int32_t *ids, const size_t *offsets,
                                      size_t count, float *embeddings, clipc_error *error);

/* Device work only: pixels, or ids, offsets and pooled_row, are in place, and embeddings [count, dimension] will be.
 * Asynchronous on the engine's stream. */
clipc_status clipc_cuda_image_tower(clipc_cuda_engine *engine, int32_t count, clipc_error *error);
clipc_status clipc_cuda_text_tower(clipc_cuda_engine *engine, int32_t count, int32_t rows, int32_t longest,
                                   clipc_error *error);
/* The rows that a tower works on. */
typedef struct clipc_cuda_sequence {
    int32_t count;
    int32_t rows;
    int32_t longest;
    const int32_t *offsets;    /* NULL: all of `longest` rows */
    const int32_t *pooled_row; /* of each item: what is read after the last layer; NULL: all rows are */
    bool text;                 /* the pooled row is an item's last, else its first */
    bool causal;
} clipc_cuda_sequence;

/* One product, by the kernel that suits it, recorded as that step. The statistics that it leaves, if any, come
 * in the parts of that kernel. */
cudaError_t clipc_cuda_product(const clipc_cuda_engine *engine, clipc_cuda_step step, clipc_cuda_gemm *gemm);
/* The plain product of `rows` rows, `input_stride` apart in room for `capacity`: its bias and no more. */
clipc_cuda_gemm clipc_cuda_gemm_of(const void *input, int32_t input_stride, int32_t rows, int32_t capacity,
                                   const clipc_cuda_matrix *matrix, void *output);
/* Records a launch that is no product, after it: `count` rows of `columns` values, each of which is so many bytes to
 * read and write together. */
cudaError_t clipc_cuda_mark(const clipc_cuda_engine *engine, clipc_cuda_step step, const char *kernel, int32_t count,
                            int32_t columns, int32_t value_bytes);
/* Records attention over `rows` rows. */
cudaError_t clipc_cuda_mark_attention(const clipc_cuda_engine *engine, const clipc_cuda_attention *attention,
                                      int32_t rows);
/* Hands out the rows after a step, if somebody asks. */
cudaError_t clipc_cuda_tap_step(const clipc_cuda_engine *engine, const clipc_cuda_sequence *items,
                                clipc_tap_point point, int32_t layer, const void *rows, int32_t count);
/* A layer of products of bytes. */
cudaError_t clipc_cuda_layer_bytes(const clipc_cuda_engine *engine, const clipc_cuda_tower *tower, int32_t index,
                                   const clipc_cuda_sequence *items);
/* The launches themselves, without a graph. */
cudaError_t clipc_cuda_launch_image(const clipc_cuda_engine *engine, int32_t count);
cudaError_t clipc_cuda_launch_text(const clipc_cuda_engine *engine, int32_t count, int32_t rows, int32_t longest);

/* Measures the products of a pass over so many images, and one over so many texts, of the request's: at most
 * engine->batch. */
clipc_status clipc_cuda_tune_tiles(clipc_cuda_engine *engine, const clipc_tune_request *request, size_t images,
                                   size_t texts, clipc_error *error);

#endif
