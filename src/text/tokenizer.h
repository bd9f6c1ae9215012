/* Text to token ids. */
#ifndef CLIPC_TEXT_TOKENIZER_H
#define CLIPC_TEXT_TOKENIZER_H

#include "base/error.h"

#include <stdint.h>

typedef struct clipc_tokenizer clipc_tokenizer;

/* One file of the tokenizer: a view of its bytes and what messages call it. bytes NULL: the file does not exist. */
typedef struct clipc_tokenizer_file {
    const void *bytes;
    size_t size;
    const char *name;
} clipc_tokenizer_file;

/* What the model directory holds. tokenizer_json alone, or vocab + merges; the others are optional. */
typedef struct clipc_tokenizer_files {
    clipc_tokenizer_file tokenizer_json;
    clipc_tokenizer_file vocab;
    clipc_tokenizer_file merges;
    clipc_tokenizer_file tokenizer_config; /* model_max_length, special tokens */
    clipc_tokenizer_file special_tokens_map;
} clipc_tokenizer_files;

/* Builds the tokenizer from the files; keeps no reference to them. Every id is checked to be below `vocabulary_size`
 * (the text tower's embedding rows). */
clipc_status clipc_tokenizer_create(const clipc_tokenizer_files *files, size_t vocabulary_size, clipc_tokenizer **out,
                                    clipc_error *error);

/* The tokenizer as one position-independent block, so that it can be embedded or mapped and used with no parsing. The
 * format is clipc's own, little-endian and versioned. *bytes points into the tokenizer. */
void clipc_tokenizer_packed(const clipc_tokenizer *tokenizer, const void **bytes, size_t *size);
/* Checks such a block (hostile bytes must not cause a memory fault, now or later) and uses it in place: `bytes`,
 * aligned to 8, must outlive the tokenizer. Takes well under a millisecond for CLIP's vocabulary. */
clipc_status clipc_tokenizer_open_packed(const void *bytes, size_t size, const char *name, size_t vocabulary_size,
                                         clipc_tokenizer **out, clipc_error *error);
void clipc_tokenizer_destroy(clipc_tokenizer **tokenizer);

/* The most ids the files allow a text (model_max_length), start and end token included; SIZE_MAX when they say
 * nothing.
 */
size_t clipc_tokenizer_max_length(const clipc_tokenizer *tokenizer);

/* Writes start token, the text's ids and end token to `ids`, at most `limit` (≥ 2) of them, the end token always last.
 * Thread-safe. Text that is not UTF-8 is CLIPC_ERROR_FORMAT. */
clipc_status clipc_tokenizer_encode(const clipc_tokenizer *tokenizer, const char *text, size_t length, size_t limit,
                                    int32_t *ids, size_t *count, clipc_error *error);

#endif
