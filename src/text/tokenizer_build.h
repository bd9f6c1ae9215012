/* The steps from a tokenizer's files to what is packed. */
#ifndef CLIPC_TEXT_TOKENIZER_BUILD_H
#define CLIPC_TEXT_TOKENIZER_BUILD_H

#include "text/packed.h"
#include "text/vocabulary.h"

#include <jansson.h>
#include <stdbool.h>

#define CLIPC_START_TEXT "<|startoftext|>"
#define CLIPC_END_TEXT   "<|endoftext|>"
#define CLIPC_WORD_END   "</w>"
/* Larger files are refused before they are parsed. */
#define CLIPC_MAX_TOKENIZER_FILE ((size_t)256 << 20)
/* Ids are below this and below the model's vocabulary size. */
#define CLIPC_MAX_TOKEN_IDS ((size_t)1 << 24)

/* One special or added token as a file states it. */
typedef struct clipc_special_token {
    const char *text; /* in the file's JSON */
    bool plain;       /* given as a string alone */
    bool normalized;
    bool special;
    bool left_strip;
    bool right_strip;
    bool single_word;
    json_int_t id; /* stated, or -1 */
} clipc_special_token;

typedef struct clipc_special_tokens {
    clipc_special_token tokens[CLIPC_MAX_ADDED_TOKENS]; /* in the order in which the reference adds them */
    size_t count;
    const char *start;
    const char *end;
    const char *unknown; /* NULL: none */
} clipc_special_tokens;

/* Two tokens to be merged, as views. */
typedef struct clipc_merge_text {
    const char *left;
    const char *right;
    size_t left_length;
    size_t right_length;
} clipc_merge_text;

/* The file of the vocabulary, read quickly where that is possible: vocab.json, or tokenizer.json with its merges. */
typedef struct clipc_token_source {
    const char *name;
    bool is_tokenizer_json;
    json_t *root;     /* what jansson read: tokenizer.json without what was read quickly, or a vocab.json; or NULL */
    bool quick;       /* the vocabulary, and the merges of tokenizer.json, were read quickly */
    uint8_t *decoded; /* the texts that had escapes */
    clipc_vocabulary vocabulary;
    clipc_merge_text *merges;
    size_t merge_count;
} clipc_token_source;

/* Reads tokenizer.json if there is one, else vocab.json. Close it also after a failure. */
clipc_status clipc_token_source_open(const clipc_tokenizer_files *files, clipc_token_source *out, clipc_error *error);
/* Makes and checks source->vocabulary. */
clipc_status clipc_token_source_vocabulary(clipc_token_source *source, size_t vocabulary_size, clipc_error *error);
void clipc_token_source_close(clipc_token_source *source);

/* Checks that tokenizer.json describes CLIP's pipeline and nothing else. */
clipc_status clipc_pipeline_check(const json_t *tokenizer, const char *name, clipc_error *error);
/* Checks that the post-processor adds these tokens with these ids. */
clipc_status clipc_pipeline_check_ends(const json_t *tokenizer, const char *name, const char *start, uint32_t start_id,
                                       const char *end, uint32_t end_id, clipc_error *error);
/* Checks tokenizer_config.json's switches and reads model_max_length (UINT64_MAX: none). */
clipc_status clipc_tokenizer_config_check(const json_t *config, const char *name, uint64_t *max_length,
                                          clipc_error *error);

/* Which tokens transformers adds, and how, for these files: each NULL when there is none. */
clipc_status clipc_special_tokens_read(const json_t *config, const char *config_name, const json_t *map,
                                       const char *map_name, const json_t *tokenizer, const char *tokenizer_name,
                                       clipc_special_tokens *out, clipc_error *error);

/* Fill parts->merges, which is the caller's to free also after a failure. */
clipc_status clipc_merges_read_text(const clipc_tokenizer_file *file, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error);
clipc_status clipc_merges_read_json(const json_t *merges, const char *name, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error);
clipc_status clipc_merges_read_pairs(const clipc_merge_text *merges, size_t count, const char *name,
                                     const clipc_vocabulary *vocabulary, clipc_packed_parts *parts,
                                     clipc_error *error);

#endif
