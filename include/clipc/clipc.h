/* clipc: CLIP image and text embeddings, fast and exact.
 * SPDX-License-Identifier: MIT
 *
 * The whole public interface. It compiles as C99 and as C++17.
 *
 * The way through it:
 *
 *     clipc_model *model = NULL;                    what the files say: weights, tokenizer, preprocessing
 *     clipc_model_open("clip-vit-base-patch32", NULL, &model, &error);
 *     clipc_engine *engine = NULL;                  the model made ready for one backend and precision
 *     clipc_engine_create(model, NULL, &engine, &error);
 *     clipc_model_preprocess_file(model, "cat.jpg", NULL, pixels, &error);
 *     clipc_engine_encode_images(engine, pixels, 1, 0, embedding, &error);
 *
 * Errors. Every function that can fail returns a clipc_status, takes a `clipc_error *` last (NULL is allowed) and,
 * when it fails, writes one sentence there that names the file or argument and the cause. Nothing in the library
 * exits, aborts or prints. A failing create leaves *out NULL.
 *
 * Ownership. Every clipc_<noun>_destroy takes the address of the handle, accepts NULL and a handle that is NULL, and
 * sets the handle to NULL. Arrays passed in stay the caller's; arrays written to are allocated by the caller.
 *
 * Threads. A clipc_model, a clipc_image and a clipc_npy are immutable once made: any number of threads may use one. A
 * clipc_engine may be used by any number of threads at once; calls on one engine run one after the other, each on all
 * of the engine's threads. Destroying a handle while it is in use is the caller's error.
 */
#ifndef CLIPC_CLIPC_H
#define CLIPC_CLIPC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLIPC_VERSION_MAJOR 0
#define CLIPC_VERSION_MINOR 1
#define CLIPC_VERSION_PATCH 0

#if defined(__GNUC__)
#define CLIPC_API __attribute__((visibility("default")))
#else
#define CLIPC_API
#endif

/* "0.1.0"; static storage. */
CLIPC_API const char *clipc_version(void);

/* ---- status and error ---- */

/* Numbers are pinned: they keep their meaning for ever. Tens are families. */
typedef enum clipc_status {
    CLIPC_OK = 0,
    CLIPC_ERROR_ARGUMENT = -10,    /* a null pointer, a number out of range, an unknown name */
    CLIPC_ERROR_IO = -20,          /* open, read, write or map failed */
    CLIPC_ERROR_NOT_FOUND = -21,   /* the named file or directory does not exist */
    CLIPC_ERROR_FORMAT = -30,      /* the bytes are not what they claim to be */
    CLIPC_ERROR_TRUNCATED = -31,   /* the bytes end too early */
    CLIPC_ERROR_LIMIT = -32,       /* a documented limit is exceeded, e.g. clipc_image_options.max_pixels */
    CLIPC_ERROR_MEMORY = -40,      /* an allocation failed */
    CLIPC_ERROR_DEVICE = -50,      /* the device is absent or failed */
    CLIPC_ERROR_UNSUPPORTED = -60, /* well-formed, but clipc cannot do it */
    CLIPC_ERROR_INTERNAL = -70     /* a fault of clipc itself */
} clipc_status;

/* A short English name of the status, e.g. "format error"; static storage, never NULL. */
CLIPC_API const char *clipc_status_text(clipc_status status);

/* Caller-allocated. Written only by a call that fails. `message` is one sentence of UTF-8 without a line break; bytes
 * of file names that are not printable are shown escaped. */
typedef struct clipc_error {
    clipc_status status;
    char message[508];
} clipc_error;

typedef enum clipc_log_level { CLIPC_LOG_DEBUG = 0, CLIPC_LOG_INFO = 1, CLIPC_LOG_WARNING = 2 } clipc_log_level;

/* Called on the thread that made the library call. `message` is one line without a line break, valid during the call.
 */
typedef void (*clipc_log_function)(void *user, clipc_log_level level, const char *message);

/* ---- model ---- */

typedef struct clipc_model clipc_model;

typedef struct clipc_model_config {
    size_t size;            /* sizeof(clipc_model_config), set by the init function */
    clipc_log_function log; /* NULL: nothing is logged */
    void *log_user;         /* handed to log */
    /* NULL, or "quick_gelu", "gelu" or "gelu_tanh": what a state dict without a config computes, which nothing in it
     * tells. Files that do tell must agree. */
    const char *activation;
    const char *visual; /* NULL, or the ONNX graph of the image tower, and of the text tower: a model without a path */
    const char *textual;
} clipc_model_config;

CLIPC_API void clipc_model_config_init(clipc_model_config *config);

/* Opens a model: `path` is an engine file (clipc_model_convert); or weights, as .safetensors or as torch.save writes
 * them, with what belongs to them in the same directory; or a directory, of which the first of these is taken:
 * *.clipc, model.safetensors, open_clip_model.safetensors, *.bin, *.pt, clip_visual.onnx with clip_textual.onnx; or
 * one ONNX graph of a tower or both (.onnx). With transformers' names of tensors that is config.json,
 * preprocessor_config.json or processor_config.json, and vocab.json + merges.txt or tokenizer.json; with OpenAI's or
 * open_clip's names open_clip_config.json, while OpenAI's archives need nothing. docs/formats.md lists all of it.
 * Another file is CLIPC_ERROR_UNSUPPORTED. NULL opens the demo model that is part of the library, and so does "demo"
 * where no such file is. Weights are mapped, not copied. The whole config and the tensor tables are checked here; NaN
 * and infinity among the weights are found by clipc_engine_create. A file clipc.json in the directory may name another
 * default template: {"template": "a sketch of a {}"}. `config` may be NULL. The handle owns everything it points to.
 */
CLIPC_API clipc_status clipc_model_open(const char *path, const clipc_model_config *config, clipc_model **out,
                                        clipc_error *error);

/* Makes a model of a known shape with random weights (the same for the same seed), for sizing hardware. Names:
 * clipc_architecture_name(0), (1), … It has the demo model's tokenizer, which is OpenAI CLIP's. All weights are views
 * of about 32 MB of shared memory, whatever the size of the model. */
CLIPC_API clipc_status clipc_model_create_random(const char *architecture, uint64_t seed,
                                                 const clipc_model_config *config, clipc_model **out,
                                                 clipc_error *error);

/* The names clipc_model_create_random knows ("ViT-B-32", …); NULL past the last. Static storage. */
CLIPC_API const char *clipc_architecture_name(size_t index);

/* Engines made from the model keep what they need: a model may be destroyed before its engines. */
CLIPC_API void clipc_model_destroy(clipc_model **model);

/* What the network computes in. AUTO is the backend's own choice, which clipc_engine_get_info tells. A precision that
 * the backend lacks is CLIPC_ERROR_UNSUPPORTED; with backend "auto" the next backend is tried first. */
typedef enum clipc_precision {
    CLIPC_PRECISION_AUTO = 0,
    CLIPC_PRECISION_FP32 = 1,
    CLIPC_PRECISION_BF16 = 2,
    CLIPC_PRECISION_INT8 = 3,
    CLIPC_PRECISION_FP16 = 4,
    CLIPC_PRECISION_FP8 = 5
} clipc_precision;

/* "auto", "fp32", …; static storage. */
CLIPC_API const char *clipc_precision_name(clipc_precision precision);

/* How a model was trained to turn cosines into scores. */
typedef enum clipc_scoring {
    CLIPC_SCORING_SOFTMAX = 0, /* over the texts of an image: they share 1 */
    CLIPC_SCORING_SIGMOID = 1  /* of each pair alone: independent probabilities, as SigLIP's are */
} clipc_scoring;

typedef struct clipc_tower_info {
    size_t width;  /* values a token row has; of a ResNet, a row of attention pooling */
    size_t layers; /* of a ResNet, the blocks of all its stages */
    size_t heads;
    size_t mlp_width;       /* of a ResNet 0 */
    size_t parameters;      /* weights and biases, the projection included */
    const char *activation; /* "quick_gelu", "gelu", "gelu_tanh" or, of a ResNet, "relu" */
} clipc_tower_info;

typedef struct clipc_model_info {
    size_t size;               /* sizeof(clipc_model_info), set by the caller before clipc_model_get_info */
    const char *name;          /* last component of the path, "demo", or the architecture */
    const char *path;          /* as opened; "" for the demo and random models */
    const char *family;        /* "clip", "siglip" */
    const char *weights_dtype; /* as stored: "fp32", "fp16", "bf16", "mixed" or "random" */
    clipc_tower_info image;
    clipc_tower_info text;
    size_t image_height; /* of the network's input, pixels */
    size_t image_width;
    size_t patch_size;   /* pixels, square; of a ResNet, what one pixel of the last stage stands for: 32 */
    size_t image_tokens; /* patches, and a class token where the model has one; of a ResNet, pixels of the last stage
                            and their mean */
    size_t vocabulary_size;
    size_t context_length;        /* token limit of clipc_model_tokenize, start and end token included */
    size_t embedding_dimension;   /* D */
    float logit_scale;            /* exp() of the stored parameter: softmax(logit_scale × cosine) */
    const char *default_template; /* unless the model names another "a photo of a {}", and where scores are sigmoids
                                     "This is a photo of {}." */
    size_t file_count;
    const char *format;        /* "directory", "OpenAI archive", "open_clip weights", "engine file", "embedded", … */
    unsigned format_version;   /* of an engine file, else 0 */
    clipc_precision precision; /* the only one an engine file serves; else CLIPC_PRECISION_AUTO */
    const char *layout;        /* what an engine file is packed for, "cpu, avx512, panels of 32 outputs"; else "" */
    const char *packed_for;    /* of that the backend, "cpu" or "cuda", and the instruction set or devices; else "" */
    const char *packed_isa;
    const char *image_absent; /* why the model has no image tower, whose numbers are 0 then; NULL when it has one */
    const char *text_absent;
    clipc_scoring scoring;
    float logit_bias;       /* sigmoid(logit_scale × cosine + logit_bias); 0 where scores are softmaxes */
    const char *written_by; /* of an engine file, the version of the clipc that wrote it, "0.1.0"; else "" */
} clipc_model_info;

/* Fills *info; the strings live as long as the model. Fails only on a NULL argument or an unknown info->size. */
CLIPC_API clipc_status clipc_model_get_info(const clipc_model *model, clipc_model_info *info, clipc_error *error);

/* The index-th file the model was read from (0 … file_count-1); NULL when out of range. *bytes becomes its size;
 * `bytes` may be NULL. The string lives as long as the model. */
CLIPC_API const char *clipc_model_file(const clipc_model *model, size_t index, uint64_t *bytes);

/* One line a step of the preprocessing rule, e.g. "resize shortest edge to 224, bicubic"; NULL past the last step. The
 * string lives as long as the model. */
CLIPC_API const char *clipc_model_preprocessing_step(const clipc_model *model, size_t index);

/* A linear layer of the network, or the three that make query, key and value in one product. */
typedef struct clipc_linear_info {
    size_t size;    /* sizeof(clipc_linear_info), set by the caller */
    char name[64];  /* "image.layers.3.fc2"; of a layer query_key_value, attention_out, fc1 or fc2 */
    size_t parts;   /* 1 or 3 matrices [outputs, inner] */
    size_t outputs; /* of each */
    size_t inner;
    const char *dtype; /* of the weights as stored: "fp32", "fp16", "bf16", "int8" or "fp8" */
    uint64_t bytes;    /* as stored: of an engine file packed, with padding, biases and scales; else of the weights */
    size_t panel_columns; /* outputs that lie together in an engine file of backend cpu; else 0 */
} clipc_linear_info;

/* The linear layers of both towers, in the order in which they compute, the image tower first. 0 for NULL. */
CLIPC_API size_t clipc_model_linear_count(const clipc_model *model);
CLIPC_API clipc_status clipc_model_get_linear(const clipc_model *model, size_t index, clipc_linear_info *info,
                                              clipc_error *error);

/* ---- text ---- */

/* Tokenizes `length` bytes of UTF-8 (they may contain NUL; invalid UTF-8 is CLIPC_ERROR_FORMAT) as the Hugging Face
 * fast CLIP tokenizer does: start token, text, end token, truncated to context_length keeping the end token. A
 * SigLIP's tokenizer puts its own tokens around the text and fills it up to context_length with its pad token, which
 * the network sees, too: *count is then always context_length. Writes at most context_length ids to `ids` and their
 * number to *count. */
CLIPC_API clipc_status clipc_model_tokenize(const clipc_model *model, const char *text, size_t length, int32_t *ids,
                                            size_t *count, clipc_error *error);

/* ---- images ---- */

typedef struct clipc_image clipc_image;

typedef enum clipc_alpha {
    CLIPC_ALPHA_WHITE = 0, /* composite on white, as transformers 5 does */
    CLIPC_ALPHA_DROP = 1   /* ignore it, as Pillow's convert("RGB") does */
} clipc_alpha;

typedef struct clipc_image_options {
    size_t size;         /* sizeof(clipc_image_options), set by the init function */
    uint64_t max_pixels; /* an image whose header claims more is CLIPC_ERROR_LIMIT; default 178,956,970 */
    clipc_alpha alpha;
    int apply_exif; /* non-zero: rotate and mirror as the EXIF orientation says; default 0, as the reference */
} clipc_image_options;

CLIPC_API void clipc_image_options_init(clipc_image_options *options);

/* "jpeg", "png", "webp", "gif" or "bmp", told from the first bytes (32 are enough); NULL when it is none of them. */
CLIPC_API const char *clipc_image_format(const void *bytes, size_t size);

/* Decodes an image to 8-bit RGB. `name` is what error messages call it. `options` may be NULL. A truncated image is
 * CLIPC_ERROR_TRUNCATED, never padded. */
CLIPC_API clipc_status clipc_image_decode(const void *bytes, size_t size, const char *name,
                                          const clipc_image_options *options, clipc_image **out, clipc_error *error);
/* The same from a file, which errors name. */
CLIPC_API clipc_status clipc_image_read(const char *path, const clipc_image_options *options, clipc_image **out,
                                        clipc_error *error);
/* In pixels; 0 for NULL. */
CLIPC_API size_t clipc_image_width(const clipc_image *image);
CLIPC_API size_t clipc_image_height(const clipc_image *image);
/* RGB bytes, row after row without padding: [height, width, 3]. Owned by the image; NULL for NULL. */
CLIPC_API const uint8_t *clipc_image_pixels(const clipc_image *image);
/* A copy at another size, equal to Pillow's Image.resize with the bicubic filter. */
CLIPC_API clipc_status clipc_image_resize(const clipc_image *image, size_t width, size_t height, clipc_image **out,
                                          clipc_error *error);
CLIPC_API void clipc_image_destroy(clipc_image **image);

/* What the network sees: writes [3, image_height, image_width] floats to `pixels`, by the model's preprocessing rule.
 */
CLIPC_API clipc_status clipc_model_preprocess(const clipc_model *model, const clipc_image *image, float *pixels,
                                              clipc_error *error);
/* The same straight from a file; `options` may be NULL. A rule that converts to RGB last (OpenAI's and open_clip's) is
 * exact only so, and always drops transparency, whatever options->alpha says. */
CLIPC_API clipc_status clipc_model_preprocess_file(const clipc_model *model, const char *path,
                                                   const clipc_image_options *options, float *pixels,
                                                   clipc_error *error);

/* The same before the last step, the normalisation, as bytes: writes [image_height, image_width, 3]. What
 * clipc_engine_encode_bytes takes. */
CLIPC_API clipc_status clipc_model_preprocess_bytes(const clipc_model *model, const clipc_image *image, uint8_t *bytes,
                                                    clipc_error *error);
CLIPC_API clipc_status clipc_model_preprocess_file_bytes(const clipc_model *model, const char *path,
                                                         const clipc_image_options *options, uint8_t *bytes,
                                                         clipc_error *error);

/* ---- engine ---- */

typedef struct clipc_engine clipc_engine;

/* Measured choices; see clipc/tuning.h. */
typedef struct clipc_tuning clipc_tuning;

/* Batch sizes that an engine is made for; smaller batches are filled up to the least, calls are cut up beyond the
 * largest. All 0: 1, max_batch and max_batch. */
typedef struct clipc_batches {
    size_t least;
    size_t usual; /* that it is tuned for */
    size_t largest;
} clipc_batches;

typedef struct clipc_engine_config {
    size_t size;         /* sizeof(clipc_engine_config), set by the init function */
    const char *backend; /* "auto", "cuda", "cpu", "ref" or "tensorrt"; NULL is "auto", the fastest that this machine
                            has and that can do the rest: cuda where there is a device, else cpu */
    clipc_precision precision;
    size_t threads;        /* 0: as many as the process may use */
    size_t max_batch;      /* items the workspace is planned for; larger calls are cut up. Default 32 */
    const char *cpu_level; /* NULL, or at most this instruction set: "c", "avx2", "avx512", …; "neon", … on ARM. The
                              environment variable CLIPC_CPU lowers it likewise, for resizing too */
    int image_tower;       /* 0: leave that tower out; default 1: make it, if the model has it */
    int text_tower;
    /* of backend cuda, ignored by the others: */
    const char *devices; /* which share the work: "all", or their numbers, "0,1"; NULL is the first, "0".
                            Naming any asks for cuda, where backend is "auto" */
    size_t streams; /* passes that are in flight at once on a device, 1 to 16, each with a workspace of its own: one
                       copies while another computes. 0 is 2 */
    int batch_invariant; /* non-zero: a row's bits do not depend on the size of the batch either, at some cost in speed
                            for small batches */
    clipc_log_function log;
    void *log_user;
    /* NULL, or the linear layers to be computed more precisely than the rest, a list such as
     * "image.3.fc2,text.*.query_key_value=fp32": names of clipc_model_get_linear, with or without "layers.", * for any
     * run of characters, each with "=fp32" or "=bf16", or without for the next precision up (int8 to bf16, bf16 to
     * fp32). Backend cuda keeps layers of fp8 and int8 engines in fp16, with "=fp16" or without. An engine file keeps
     * what it was made with. */
    const char *keep_precise;
    /* NULL, or choices that clipc_model_tune measured, to be used here and to be stored by clipc_model_convert; they
     * must outlive the engine. An engine file's own are used without. What was made for another device, another
     * version or other options is not used, and the log says so. No choice changes a bit of any result. */
    const clipc_tuning *tuning;
    /* of backend tensorrt, ignored by the others: */
    const char *tensorrt_cache; /* a folder for plans, which take minutes to build, and timings; NULL keeps none */
    int tensorrt_level;         /* its optimisation level, 0 to 5; default −1, TensorRT's own */
    size_t tensorrt_workspace;  /* bytes that its kernels may take; 0 is TensorRT's own limit */
    clipc_batches tensorrt_image_batches; /* of the image tower's optimisation profile */
    clipc_batches tensorrt_text_batches;
} clipc_engine_config;

/* How many threads 0 means: cores of the affinity mask, cut down by the cgroup's CPU quota (v1 and v2), at least 1. */
CLIPC_API size_t clipc_thread_count_default(void);

CLIPC_API void clipc_engine_config_init(clipc_engine_config *config);

/* Packs the model's weights for one backend and precision and plans all workspace: encoding allocates nothing.
 * `config` may be NULL. */
CLIPC_API clipc_status clipc_engine_create(const clipc_model *model, const clipc_engine_config *config,
                                           clipc_engine **out, clipc_error *error);
CLIPC_API void clipc_engine_destroy(clipc_engine **engine);

typedef struct clipc_engine_info {
    size_t size;         /* sizeof(clipc_engine_info), set by the caller */
    const char *backend; /* "cuda", "cpu", "ref" */
    const char *isa;     /* the instruction set the kernels use: "c", "avx2", "avx512", …; "sm80", "sm90" */
    clipc_precision precision;
    size_t threads;
    size_t packed_bytes;    /* weights */
    size_t workspace_bytes; /* activations */
    size_t devices;         /* that share the work; 1 but for cuda */
    size_t streams;         /* passes in flight at once on each */
} clipc_engine_info;

CLIPC_API clipc_status clipc_engine_get_info(const clipc_engine *engine, clipc_engine_info *info, clipc_error *error);

/* What clipc_engine_create would settle on: backend, isa, precision and threads; the bytes are 0. Packs nothing, and
 * fails where that would before looking at weights. `config` may be NULL. */
CLIPC_API clipc_status clipc_engine_plan(const clipc_model *model, const clipc_engine_config *config,
                                         clipc_engine_info *info, clipc_error *error);

/* Flags of the encode calls. */
#define CLIPC_ENCODE_UNNORMALIZED 1u /* raw projections instead of rows of unit length */

/* Every row of `embeddings` is written, each from its own input alone. A row that comes out not finite makes the call
 * fail, the first such row being named: CLIPC_ERROR_ARGUMENT when its pixels were not finite, CLIPC_ERROR_FORMAT when
 * the model's own numbers overflow. The other rows are valid even then. A raw projection of zeros, which has no
 * direction, stays zeros. Arguments are checked before anything is written; `count` may be 0. A device that fails is
 * CLIPC_ERROR_DEVICE, and what the call has written is then not valid; after a fault that the device does not recover
 * from the engine is lost and every later call says so, but the process and engines of other backends go on. */

/* Encodes `count` preprocessed images, pixels [count, 3, image_height, image_width], to embeddings [count, D]. On the
 * CPU a row's bits do not depend on the other rows, on count or on the number of threads; on a GPU they depend on the
 * size of the batch alone, and with batch_invariant not on that. */
CLIPC_API clipc_status clipc_engine_encode_images(clipc_engine *engine, const float *pixels, size_t count,
                                                  unsigned flags, float *embeddings, clipc_error *error);

/* The same of images whose pixels are still bytes [count, image_height, image_width, 3], as
 * clipc_model_preprocess_bytes makes them: they are normalised on the device, to the same floats, and are a quarter of
 * the bytes to move. The embeddings are those of clipc_engine_encode_images, bit for bit. */
CLIPC_API clipc_status clipc_engine_encode_bytes(clipc_engine *engine, const uint8_t *bytes, size_t count,
                                                 unsigned flags, float *embeddings, clipc_error *error);

/* Encodes `count` token sequences as clipc_model_tokenize gives them: sequence i is ids[offsets[i]] …
 * ids[offsets[i+1]-1], 1 … context_length ids below vocabulary_size, offsets[0] = 0. Writes embeddings [count, D]. */
CLIPC_API clipc_status clipc_engine_encode_tokens(clipc_engine *engine, const int32_t *ids, const size_t *offsets,
                                                  size_t count, unsigned flags, float *embeddings, clipc_error *error);

/* ---- devices ---- */

/* What a backend can compute on. */
typedef struct clipc_device_info {
    size_t size;               /* sizeof(clipc_device_info), set by the caller */
    const char *backend;       /* "cuda" or "cpu" */
    size_t index;              /* its number in clipc_engine_config.devices */
    char name[128];            /* "NVIDIA H200" */
    char driver[64];           /* "580.159.04, for CUDA 13.0"; "" for the CPU */
    char problem[160];         /* why clipc cannot use it, a sentence; "" when it can */
    const char *isa;           /* of the kernels it would use, as in clipc_engine_info */
    clipc_precision precision; /* that CLIPC_PRECISION_AUTO means on it */
    size_t units;              /* multiprocessors; threads that 0 means on the CPU */
    uint64_t memory_bytes;     /* 0 when unknown */
    uint64_t free_bytes;       /* 0 when unknown */
    char bus[24];              /* where it is on the PCI bus, "0000:4f:00.0"; "" for the CPU and when unknown */
} clipc_device_info;

/* How many devices `backend` ("cuda" or "cpu") has here. With none, the status and the sentence say why: no driver, a
 * driver that is too old, no device, or a library that was built without the backend. */
CLIPC_API clipc_status clipc_device_count(const char *backend, size_t *count, clipc_error *error);
/* Describes the index-th of them. A device that cannot be used is described all the same: see `problem`. */
CLIPC_API clipc_status clipc_device_get_info(const char *backend, size_t index, clipc_device_info *info,
                                             clipc_error *error);

/* ---- engine files ----
 *
 * An engine file (.clipc) is a model with its weights packed for one precision and kind of kernel, its tokenizer and
 * its preprocessing rule, all in the form that is used, so that opening it with clipc_model_open parses next to
 * nothing, copies no weights, and shares them with other processes. It serves exactly the precision it was made for.
 * Where the kernels of backend cpu want another layout, clipc_engine_create repacks it and says so through the log. A
 * file serves the backend that it was made for; one of backend cuda is made where there is no GPU, too, and by a clipc
 * that was built without that backend.
 */

/* Takes `size` bytes that follow those of the call before; returns 0, or anything else to stop. */
typedef int (*clipc_write_function)(void *user, const void *bytes, size_t size);

/* Writes the model as an engine file through `write`, front to back, packing one matrix at a time. Of `config` (NULL:
 * the defaults) backend, precision, keep_precise, threads and cpu_level count; "auto" is "cpu" here, or what an engine
 * file is packed for already. Of one for backend cuda that is copied as it is. The file always holds every tower of
 * the model. Weights that are NaN or infinite fail as in clipc_engine_create. When `write` stops, the status is
 * CLIPC_ERROR_IO. */
CLIPC_API clipc_status clipc_model_convert(const clipc_model *model, const clipc_engine_config *config,
                                           clipc_write_function write, void *user, clipc_error *error);

/* Compares every byte of an engine file's weights with its checksum, which opening leaves out to be fast; the message
 * names the first section that fails. Other models have no checksums: CLIPC_ERROR_UNSUPPORTED. */
CLIPC_API clipc_status clipc_model_verify(const clipc_model *model, clipc_error *error);

/* ---- directories of transformers ---- */

/* Told the plain name of the file to which the bytes written from now on belong; returns 0, or anything else to stop.
 */
typedef int (*clipc_file_function)(void *user, const char *name);

/* Writes the model as transformers' save_pretrained does, one file after the other: config.json, model.safetensors,
 * preprocessor_config.json, vocab.json and merges.txt (or the tokenizer's files that the model was opened with),
 * clipc.json and, if there is one, the card as README.md. CLIP becomes a CLIPModel or, of one tower, a
 * CLIPVisionModelWithProjection or CLIPTextModelWithProjection; SigLIP a SiglipModel, SiglipVisionModel or
 * SiglipTextModel; a ResNet image tower, which transformers does not have, is CLIPC_ERROR_UNSUPPORTED. `precision` is
 * the dtype of the weights: fp32, fp16, bf16, or AUTO, which keeps the dtype they have, fp32 when they have several; a
 * weight that is too large for it is CLIPC_ERROR_UNSUPPORTED. Weights go through memory a megabyte at a time. An
 * engine file of fp32 gives its weights bit for bit; from any other they are CLIPC_ERROR_UNSUPPORTED, as they were
 * rounded. Weights that are not finite fail as in clipc_engine_create. */
CLIPC_API clipc_status clipc_model_write_directory(const clipc_model *model, clipc_precision precision,
                                                   clipc_file_function begin, clipc_write_function write, void *user,
                                                   clipc_error *error);

/* ---- ONNX ----
 *
 * Each tower as a graph of its own, for those who run them in another runtime. Input of the image tower: preprocessed
 * pixels, fp32 [batch, 3, image_height, image_width]; of the text tower: token ids [batch, context length], of which
 * those behind the pooled token count nothing (SigLIP pools the last: its padding counts). Output: fp32 embeddings
 * [batch, D], as clipc_engine_encode_… with CLIPC_ENCODE_UNNORMALIZED gives them, unless `normalize` is set.
 */
typedef struct clipc_onnx_options {
    size_t size;    /* sizeof(clipc_onnx_options), set by the init function */
    int text;       /* 0: the image tower (default), else the text tower */
    unsigned opset; /* 12 to 20; default 17, the first with LayerNormalization, below which it is decomposed */
    clipc_precision precision; /* of weights and arithmetic: fp32 (default) or fp16, whose LayerNorm stays fp32 */
    size_t batch;              /* items, when the batch is fixed */
    const char *input_name;    /* default "input" */
    const char *output_name;   /* default "output" */
    const char *input_axis;    /* what the graph calls the batch, which may vary (default "batch"); NULL: fixed */
    const char *output_axis;   /* the same of the output; both vary or neither does */
    int fold;         /* 1 (default): matrices are stored turned, which changes no bit; 0: turned in the graph */
    int int32_tokens; /* 0 (default): token ids are int64 */
    int normalize;    /* 0 (default); else embeddings of unit length */
    /* 0 (default); else each LayerNorm is one node "ClipcLayerNorm", the plugin of libclipc_trt_plugins.so, which
     * TensorRT alone can run */
    int layer_norm_plugin;
    /* 0 (default); else the products of weights are of integers, as onnxruntime.quantization.quantize_dynamic with
     * QUInt8 makes them of the fp32 graph: weights are bytes with one step each, activations become bytes by a step
     * that is found for each batch, so rows depend on their neighbours. Weights are always stored turned. */
    int quantize_dynamic;
} clipc_onnx_options;

CLIPC_API void clipc_onnx_options_init(clipc_onnx_options *options);

/* Writes one tower front to back through `write`, reading each weight as it is written. With `external` not NULL the
 * weights go there instead, into the file that will lie beside the graph as `external_name`; protocol buffers end at 2
 * GiB, so a larger tower needs that (CLIPC_ERROR_LIMIT otherwise). Metadata hold config, preprocessing rule, template
 * and logit scale. Of engine files those of fp32 can be exported; others are CLIPC_ERROR_UNSUPPORTED, as is a weight
 * that fp16 cannot hold; weights that are not finite fail as in clipc_engine_create. `options` may be NULL. */
CLIPC_API clipc_status clipc_model_export_onnx(const clipc_model *model, const clipc_onnx_options *options,
                                               clipc_write_function write, void *user, clipc_write_function external,
                                               void *external_user, const char *external_name, clipc_error *error);

/* What clipc_onnx_replace_layer_norm found. */
typedef struct clipc_onnx_replaced {
    size_t operators; /* LayerNormalization nodes that were replaced */
    size_t chains;    /* chains of ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add that were */
    size_t left;      /* LayerNorms that had to stay */
    char reason[192]; /* why the first of those did: "NODE: its rows are none of 64 to 8192 numbers"; else "" */
} clipc_onnx_replaced;

/* Reads any ONNX graph and writes it through `write` with each of its LayerNorms as one node of clipc's TensorRT
 * plugin; whatever else the file holds stays as it is, references to files of external data included. A graph without
 * any is written as it was read. CLIPC_ERROR_LIMIT when it would take more than four times the file's size and 64 MiB.
 */
CLIPC_API clipc_status clipc_onnx_replace_layer_norm(const char *path, clipc_write_function write, void *user,
                                                     clipc_onnx_replaced *replaced, clipc_error *error);

/* ---- where an engine's time goes ---- */

/* One kind of step, all its runs in both towers and all layers taken together. */
typedef struct clipc_step_info {
    size_t size;               /* sizeof(clipc_step_info), set by the caller */
    const char *step;          /* "attention", "fc1 + activation", … */
    const char *kernel;        /* the variant that does most of it, e.g. "gemm_tile_f32__avx512 14 × 32" */
    clipc_precision precision; /* of its arithmetic */
    uint64_t calls;
    double seconds;    /* wall time of all calls */
    double operations; /* of its matrix products, a multiplication and an addition being two; 0 when it has none */
    double bytes;      /* weights, input and output, each counted once a call, wherever they lie; 0 when unknown */
} clipc_step_info;

/* Starts (on ≠ 0, from zero) or stops recording steps. CLIPC_ERROR_UNSUPPORTED when the backend cannot. Recording
 * costs two readings of the clock a step, and nothing while it is stopped. */
CLIPC_API clipc_status clipc_engine_record_steps(clipc_engine *engine, int on, clipc_error *error);

/* One run of a step. The strings are valid during the call that it is handed to. */
typedef struct clipc_step_run {
    size_t size;        /* sizeof(clipc_step_run) */
    const char *step;   /* these as in clipc_step_info */
    const char *kernel; /* the variant that did it */
    clipc_precision precision;
    int image;    /* non-zero: of the image tower, else of the text tower */
    int layer;    /* its number from 0; of a ResNet the block's; −1 before, between and behind the layers */
    double begin; /* seconds of CLOCK_MONOTONIC */
    double seconds;
    double operations;
    double bytes;
} clipc_step_run;

/* Called on the thread that encodes, in the order in which steps end: after each on the CPU, after a pass on a GPU,
 * where begin is reckoned back from the moment in which the host saw the pass end. It must not call the engine. */
typedef void (*clipc_step_function)(void *user, const clipc_step_run *run);
/* As clipc_engine_record_steps, and hands every run of a step to `function`; NULL stops both. */
CLIPC_API clipc_status clipc_engine_trace_steps(clipc_engine *engine, clipc_step_function function, void *user,
                                                clipc_error *error);

/* The kinds of steps recorded since, in the order of the towers. 0 for a NULL engine. */
CLIPC_API size_t clipc_engine_step_count(clipc_engine *engine);
/* Fills *info for the index-th of them; its strings live until the engine is destroyed. */
CLIPC_API clipc_status clipc_engine_get_step(clipc_engine *engine, size_t index, clipc_step_info *info,
                                             clipc_error *error);

/* ---- measuring calls ---- */

/* What clipc_engine_measure changes. */
#define CLIPC_MEASURE_PARTS        1u /* the parts of encode calls are timed, for clipc_engine_get_parts */
#define CLIPC_MEASURE_NO_GRAPHS    2u /* each kernel is launched by itself, and not in a recorded graph */
#define CLIPC_MEASURE_NO_TRANSFERS 4u /* inputs and embeddings stay where they are: see clipc_engine_measure */

/* Where the time of encode calls went, in seconds, summed over passes: a call may be done in several, on several
 * streams at once, so that the sum may exceed the time of the call. */
typedef struct clipc_call_parts {
    size_t size;           /* sizeof(clipc_call_parts), set by the caller */
    uint64_t passes;       /* that were timed */
    double host_to_device; /* on the device's clock: from the first copy of inputs until they are there, the host's own
                              copies on the way included */
    double compute;        /* from there until the tower is done, waiting for the host's launches included */
    double device_to_host; /* from there until the embeddings are in the host's memory */
    double enqueue;        /* on the host's clock: to start the kernels */
} clipc_call_parts;

/* For measuring: the encode calls that follow behave as the CLIPC_MEASURE_… in `flags` say, 0 being as ever, and the
 * sums of parts begin at zero. With CLIPC_MEASURE_NO_TRANSFERS a pass of the same shape as the one before it on its
 * stream computes on what that one has left on the device, and does not touch the embeddings. CLIPC_ERROR_UNSUPPORTED
 * when the backend has no such parts (cpu and ref compute where the inputs are); flags 0 never fail for that. Waits
 * for calls that are under way. */
CLIPC_API clipc_status clipc_engine_measure(clipc_engine *engine, unsigned flags, clipc_error *error);
/* The sums since then. */
CLIPC_API clipc_status clipc_engine_get_parts(clipc_engine *engine, clipc_call_parts *parts, clipc_error *error);

/* ---- what a tower computes on its way ---- */

/* One intermediate result. `name` says which, with the number of a layer from 0:
 *   image.embedding              the token rows that enter the first layer (of images after the LayerNorm before it)
 *   image.layers.3.attention     the rows after attention and its residual sum
 *   image.layers.3.mlp           the rows after the MLP and its residual sum
 *   image.norm                   the pooled row of each item after the last LayerNorm
 *   image.projection             the raw projection, as with CLIPC_ENCODE_UNNORMALIZED
 * and text.… likewise. A model that pools by attention, as SigLIP, gives all rows of the last layer, too, and no
 * image.norm; what it pools is image.projection. Of the last layer of others, whose other rows nothing reads, a tap
 * has the pooled row of each item alone; of a text it has the rows up to the pooled token. An engine file of backend
 * cuda has no norm: that LayerNorm is part of the weights after it. Values are fp32, whatever they were computed in.
 */
typedef struct clipc_tap {
    size_t size;         /* sizeof(clipc_tap) */
    const char *name;    /* valid during the call, as the values are */
    const float *values; /* row i begins at values + i × stride */
    size_t rows;
    size_t width;
    size_t stride; /* at least width */
} clipc_tap;

/* Called on the thread that encodes, in the order of the steps; a call that is done in several passes gives each
 * pass's rows in turn, so that rows of the same name follow one another in the order of the items. It must not call
 * the engine. */
typedef void (*clipc_tap_function)(void *user, const clipc_tap *tap);

/* From now on hands every intermediate result of the encode calls to `function`; NULL stops that. The embeddings keep
 * their bits, nothing is allocated, and nothing is lost in speed while there is no function. CLIPC_ERROR_UNSUPPORTED
 * when the backend cannot. */
CLIPC_API clipc_status clipc_engine_set_tap(clipc_engine *engine, clipc_tap_function function, void *user,
                                            clipc_error *error);

/* What the machine can do at most with the engine's instruction set and threads, a second, and what a step costs. Of a
 * GPU: on every multiprocessor, by the instructions that the kernels for it multiply with. */
typedef struct clipc_peaks {
    size_t size;            /* sizeof(clipc_peaks), set by the caller */
    double fp32_operations; /* from the first-level cache; a multiplication and an addition are two. 0 on a GPU */
    double bf16_operations; /* 0 when the instruction set has none for it */
    double int8_operations; /* 0 likewise */
    double fp16_operations; /* 0 likewise, as on every CPU */
    double fp8_operations;
    double one_thread_bytes;  /* read from memory by one thread; 0 on a GPU */
    double all_threads_bytes; /* by all; 0 where a GPU has less than 128 MiB to spare for it */
    double start_seconds;     /* until all threads are at work on a step, and done, as there is nothing to do; 0 when
                                 other programs kept them from ever running together. Of a GPU what a kernel that does
                                 nothing takes from one event to the next, launched as the steps are that are timed */
} clipc_peaks;

/* Measures that, the best of several rounds, in about half a second, with 256 MiB of memory of its own, or up to 512
 * MiB of a GPU's. Calls on the engine wait meanwhile. CLIPC_ERROR_UNSUPPORTED when the backend cannot. */
CLIPC_API clipc_status clipc_engine_measure_peaks(clipc_engine *engine, clipc_peaks *peaks, clipc_error *error);

/* ---- embeddings ---- */

/* similarities[i * columns + j] = dot(a row i, b row j), summed in double; a [rows, dimension], b [columns,
 * dimension]. The cosine, for rows of unit length. */
CLIPC_API void clipc_similarities(const float *a, size_t rows, const float *b, size_t columns, size_t dimension,
                                  float *similarities);
/* Zero-shot scores of one image: softmax(logit_scale × similarities). In place is allowed. */
CLIPC_API void clipc_scores(const float *similarities, size_t count, float logit_scale, float *scores);
/* The same of models that score each text alone: 1 / (1 + exp(-(logit_scale × similarity + logit_bias))), Zhai et al.
 * 2023. In place is allowed. */
CLIPC_API void clipc_scores_sigmoid(const float *similarities, size_t count, float logit_scale, float logit_bias,
                                    float *scores);
/* The mean of `count` rows scaled back to unit length: how zero-shot evaluation joins several templates. */
CLIPC_API void clipc_embeddings_average(const float *rows, size_t count, size_t dimension, float *average);

/* ---- .npy files ---- */

typedef struct clipc_npy clipc_npy;

/* Writes the header of a little-endian float32 C-order array to `header` and returns its length (a multiple of 64, at
 * most 256), or 0 when rank is 0 or above 8. Rows can then be appended as they come. */
CLIPC_API size_t clipc_npy_header(const size_t *shape, size_t rank, char header[256]);
/* Maps a .npy file of float32, float16, int32 or int64, little-endian, C order. */
CLIPC_API clipc_status clipc_npy_open(const char *path, clipc_npy **out, clipc_error *error);
/* What the functions below point to is owned by the array; they give 0 or NULL for NULL. */
CLIPC_API size_t clipc_npy_rank(const clipc_npy *array);
CLIPC_API const size_t *clipc_npy_shape(const clipc_npy *array); /* [rank] */
CLIPC_API const char *clipc_npy_dtype(const clipc_npy *array);   /* "float32", … */
CLIPC_API const void *clipc_npy_data(const clipc_npy *array);    /* the first element, aligned to its size */
CLIPC_API void clipc_npy_destroy(clipc_npy **array);

/* Several arrays in one file, as numpy.savez writes them (not savez_compressed: CLIPC_ERROR_UNSUPPORTED). Immutable
 * once made, like a single array. */
typedef struct clipc_npz clipc_npz;

/* CLIPC_ERROR_FORMAT when an array's bytes do not have the checksum (CRC-32) that the archive states. */
CLIPC_API clipc_status clipc_npz_open(const char *path, clipc_npz **out, clipc_error *error);
CLIPC_API size_t clipc_npz_count(const clipc_npz *npz);
/* The name without .npy, and the array, of the index-th in the order of names; NULL past the last. The archive owns
 * both. */
CLIPC_API const char *clipc_npz_name(const clipc_npz *npz, size_t index);
CLIPC_API const clipc_npy *clipc_npz_array(const clipc_npz *npz, size_t index);
CLIPC_API void clipc_npz_destroy(clipc_npz **npz);

#ifdef __cplusplus
}
#endif

#endif
