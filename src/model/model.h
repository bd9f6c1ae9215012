/* An opened model: config, weights by role, tokenizer and preprocessing rule, with the files they are views of. */
#ifndef CLIPC_MODEL_MODEL_H
#define CLIPC_MODEL_MODEL_H

#include "base/mapped_file.h"
#include "image/preprocess.h"
#include "io/engine_file.h"
#include "io/safetensors.h"
#include "io/torch_file.h"
#include "model/config.h"
#include "model/family.h"
#include "model/tuning.h"
#include "model/weights.h"
#include "onnx/import.h"
#include "text/tokenizer.h"

#include <stdatomic.h>

#define CLIPC_DEFAULT_TEMPLATE "a photo of a {}"
/* Of models that score by sigmoid: what transformers' pipeline for zero-shot classification fills in. */
#define CLIPC_SIGMOID_TEMPLATE "This is a photo of {}."
#define CLIPC_MAX_STEPS        8 /* of a preprocessing rule */
#define CLIPC_ABSENT_TEXT      160

typedef struct clipc_model_file_entry {
    char *path; /* what messages call the file */
    clipc_mapped_file file;
    /* Of weight files: the reader, and its tensors; else NULL. */
    clipc_safetensors *safetensors;
    clipc_torch_file *torch_file;
    const clipc_tensor_table *tensors;
} clipc_model_file_entry;

/* A tower of an engine file of backend cuda: what its devices take, and of each linear layer its type and a scale. */
typedef struct clipc_tower_block {
    const clipc_section *weights;
    const clipc_section *types;  /* int8 [clipc_linear_count] */
    const clipc_section *scales; /* fp32, the same */
} clipc_tower_block;

struct clipc_model {
    atomic_size_t references; /* the handle and every engine hold one */
    const clipc_family *family;
    clipc_config config;
    clipc_weights weights;
    clipc_preprocess_rule preprocess;
    char steps[CLIPC_MAX_STEPS][160]; /* the rule in words; empty past the last */
    clipc_tokenizer *tokenizer;
    size_t context_length; /* min(config.max_positions but the class token's, the tokenizer's own limit) */
    char *name;
    char *path;
    char *directory;                   /* where files of the model lie, its card for one; NULL: nowhere */
    const char *format;                /* in words */
    char absent[2][CLIPC_ABSENT_TEXT]; /* [text, image]: why the model lacks that tower; empty when it has it */
    char *default_template;
    clipc_text_cleaning cleaning; /* with which the tokenizer was made of its files */
    const char *weights_dtype;
    size_t image_parameters;
    size_t text_parameters;
    bool known_finite; /* weights that are clipc's own: the demo model's, random ones, an engine file's */
    /* Of an engine file, whose linear layers are packed: their tensors in `weights` have no data. Else NULL and AUTO.
     */
    clipc_engine_file *engine_file;
    clipc_precision precision;        /* the one that the file serves */
    char packed_for[16];              /* the backend that it was packed for, "cpu" or "cuda"; else empty */
    const clipc_section **linears[2]; /* "cpu": [text, image][clipc_linear_count] */
    clipc_tower_block blocks[2];      /* "cuda": [text, image]; no tensor of `weights` has data */
    unsigned block_layout;            /* the version of the blocks' layout */
    clipc_tuning *tuning;             /* measured choices; NULL: none */
    char layout[96];                  /* in words; else empty */
    char packed_isa[24];              /* what it was packed for, in the backend's words */
    char written_by[24];              /* the version of the clipc that did */
    /* what the above points into */
    clipc_model_file_entry *files;
    size_t file_count;
    struct clipc_random_weights *random_weights; /* of clipc_model_create_random */
    clipc_onnx_import *graphs[2];                /* of ONNX graphs, in the order of their files; else NULL */
};

/* Share and release; the last release frees. */
clipc_model *clipc_model_retain(const clipc_model *model);
void clipc_model_release(clipc_model **model);

/* Fails when a weight of the wanted towers is NaN or infinite, naming file and tensor. Reads every weight once, at
 * about the speed of memory, on `threads` threads (0: as many as a pool takes), so opening leaves it to the making of
 * an engine, which reads them anyway. Costs nothing for the demo model and random ones. */
clipc_status clipc_model_check_finite(const clipc_model *model, bool image, bool text, size_t threads,
                                      clipc_error *error);

/* Before a model is written in another form, which would give damaged weights new checksums: the same of both towers,
 * and of an engine file every checksum. Lets go of the file's pages as they have been read (clipc_model_forget). */
clipc_status clipc_model_check_source(const clipc_model *model, size_t threads, clipc_error *error);
/* Says that these bytes of a weight file will not be read again soon, so that they no longer count as memory of the
 * process. They are read again where they are used all the same. Bytes of no mapped file are left alone. */
void clipc_model_forget(const clipc_model *model, const void *bytes, size_t size);
/* The same of all of a tensor; of a turned one also of what lies between its columns. */
void clipc_model_forget_tensor(const clipc_model *model, const clipc_tensor *tensor);
/* README.md or CARD.md of the model's directory, or the card in its engine file; to be closed with
 * clipc_mapped_file_close. *found is false when there is none. */
clipc_status clipc_model_open_card(const clipc_model *model, clipc_mapped_file *out, bool *found, clipc_error *error);

/* ---- for the functions that make models ---- */

/* A model with one reference and nothing in it; release it also when half built. */
clipc_status clipc_model_allocate(const char *name, const char *path, clipc_model **out, clipc_error *error);
/* Takes over *file (also when it fails) as the next of the model's files and copies `path`. *out is good until the
 * next file is added; the path, the bytes and the table it points to are good as long as the model. */
clipc_status clipc_model_add_file(clipc_model *model, const char *path, clipc_mapped_file *file,
                                  clipc_model_file_entry **out, clipc_error *error);
/* Reads the table of a weight file that was added, in the format that its first bytes tell. */
clipc_status clipc_model_read_table(clipc_model_file_entry *entry, clipc_error *error);
/* The files of the model that hold weights, to be freed with clipc_free. */
clipc_status clipc_model_weight_files(const clipc_model *model, clipc_weight_file **files, size_t *count,
                                      clipc_error *error);
/* Binds the weights of the files by the config and counts parameters. */
clipc_status clipc_model_bind(clipc_model *model, clipc_error *error);
/* Last step: checks the rule against the config, puts it in words, settles context_length and the template (NULL: the
 * default). `rule_name` is what messages call the rule's file, `template_name` the template's. */
clipc_status clipc_model_finish(clipc_model *model, const char *rule_name, const char *template_text,
                                const char *template_name, clipc_error *error);

/* A directory with a model, or a weight file with what belongs to it beside it. */
clipc_status clipc_model_open_directory(const char *path, const clipc_model_config *config, clipc_model **out,
                                        clipc_error *error);
/* Graphs of the two towers, or of one, the other being NULL. */
clipc_status clipc_model_open_graphs(const char *visual, const char *textual, const clipc_model_config *config,
                                     clipc_model **out, clipc_error *error);
/* CLIPC_OK when the model has the tower; else the sentence that says why not. */
clipc_status clipc_model_check_tower(const clipc_model *model, bool image, clipc_error *error);
/* Sends the sentence to the log, if there is one. */
__attribute__((format(printf, 3, 4))) void clipc_model_log(const clipc_model_config *config, clipc_log_level level,
                                                           const char *format, ...);
/* The model that is part of the library. */
clipc_status clipc_model_open_demo(clipc_model **out, clipc_error *error);
/* Its tokenizer, checked against `vocabulary_size`. */
clipc_status clipc_demo_tokenizer(size_t vocabulary_size, clipc_tokenizer **out, clipc_error *error);

/* Whether the path names a file that begins as an engine file does, or whose name ends as one's. */
bool clipc_model_is_engine_file(const char *path);
/* An engine file, mapped. */
clipc_status clipc_model_open_engine_file(const char *path, clipc_model **out, clipc_error *error);
/* The same of bytes that are aligned to CLIPC_ALIGNMENT; takes over *file, also when it fails. */
clipc_status clipc_model_open_engine_bytes(const char *path, clipc_mapped_file *file, clipc_model **out,
                                           clipc_error *error);

/* How a backend packed a model for an engine file: what the file says of itself. */
typedef struct clipc_engine_origin {
    const char *backend;
    const char *isa;
    clipc_precision precision;
    unsigned block_layout;      /* the weights are blocks of this layout; 0: they are packed layers and tensors */
    const clipc_tuning *tuning; /* whose current set is stored; NULL: none is */
} clipc_engine_origin;

/* "image.block" or, of a part, "image.block.types". */
void clipc_engine_block_name(bool image, const char *part, char name[CLIPC_SECTION_NAME]);

/* Appends all sections of an engine file but the packed layers, or the blocks. */
clipc_status clipc_engine_file_write_rest(clipc_engine_writer *writer, const clipc_model *model,
                                          const clipc_engine_origin *origin, clipc_error *error);

/* Calls `function` for every file that the tokenizer was read from, in a directory or as sections of an engine file.
 * *found: they are enough to read it again. */
typedef clipc_status (*clipc_source_function)(void *context, const char *name, const void *bytes, size_t size,
                                              clipc_error *error);
clipc_status clipc_model_each_tokenizer_source(const clipc_model *model, clipc_source_function function, void *context,
                                               bool *found, clipc_error *error);

/* Random weights for a config (random.c). */
clipc_status clipc_random_weights_create(clipc_model *model, uint64_t seed, clipc_error *error);
void clipc_random_weights_destroy(struct clipc_random_weights **weights);
/* Fills *config with a known architecture's numbers; false when the name is unknown. */
bool clipc_architecture_find(const char *name, clipc_config *config);

#endif
