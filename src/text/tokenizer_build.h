/* The steps from a tokenizer's files to what is packed. */
#ifndef CLIPC_TEXT_TOKENIZER_BUILD_H
#define CLIPC_TEXT_TOKENIZER_BUILD_H

#include "text/pieces.h"
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
    const char *pad;
} clipc_special_tokens;

/* The tokens that a class of transformers names where the files do not. NULL: none. */
typedef struct clipc_named_defaults {
    const char *start;
    const char *end;
    const char *unknown;
    const char *pad;
    const char *mask;
    bool needs_ends;  /* start and end may not be null */
    bool strips;      /* they take the white space around them along */
    bool keeps_added; /* added_tokens of tokenizer.json count also beside an added_tokens_decoder */
} clipc_named_defaults;

/* Two tokens to be merged, as views. */
typedef struct clipc_merge_text {
    const char *left;
    const char *right;
    size_t left_length;
    size_t right_length;
} clipc_merge_text;

typedef struct clipc_sentencepiece clipc_sentencepiece;

/* The file of the vocabulary, read quickly where that is possible: vocab.json, or tokenizer.json with its merges. */
typedef struct clipc_token_source {
    const char *name;
    bool is_tokenizer_json;
    bool exact;       /* how scores are read */
    json_t *root;     /* what jansson read: tokenizer.json without what was read quickly, or a vocab.json; or NULL */
    bool quick;       /* the vocabulary, and the merges of tokenizer.json, were read quickly */
    uint8_t *decoded; /* the texts that had escapes */
    clipc_vocabulary vocabulary;
    clipc_merge_text *merges;
    size_t merge_count;
    double *scores;                     /* [vocabulary.count], of a unigram model read quickly */
    clipc_sentencepiece *sentencepiece; /* where the file is SentencePiece's; else NULL */
} clipc_token_source;

/* GPT-2's letter, a code point, for a byte. */
int32_t clipc_byte_letter(unsigned byte);

/* Reads tokenizer.json if there is one, else vocab.json. Close it also after a failure. `exact`: how to read scores
 * (clipc_quick_json_real). */
clipc_status clipc_token_source_open(const clipc_tokenizer_files *files, bool exact, clipc_token_source *out,
                                     clipc_error *error);
/* Makes and checks source->vocabulary. */
clipc_status clipc_token_source_vocabulary(clipc_token_source *source, size_t vocabulary_size, clipc_error *error);
/* Frees what the parts of a tokenizer were collected from, but for the texts and scores that they view. */
void clipc_token_source_forget_tables(clipc_token_source *source);
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
                                       const clipc_named_defaults *defaults, clipc_special_tokens *out,
                                       clipc_error *error);

/* The id of a token: the vocabulary's, or the next ones behind it in the order of the list; CLIPC_NO_TOKEN if it is in
 * neither. */
uint32_t clipc_added_id(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens, const char *text);
/* The same of token `index` of the list, checked against `vocabulary_size`, the limit of ids, and what the files say
 * of it; `name` is what messages call them. */
clipc_status clipc_added_checked_id(const clipc_vocabulary *vocabulary, const clipc_special_tokens *tokens,
                                    size_t index, size_t vocabulary_size, const char *name, uint32_t *id,
                                    clipc_error *error);
/* Whether no later token of the list has the same text. */
bool clipc_is_last_of_its_text(const clipc_special_tokens *tokens, size_t index);

/* What a tokenizer of pieces is built from. */
typedef struct clipc_pieces_source {
    const clipc_tokenizer_files *files;
    clipc_token_source *source;
    const json_t *config; /* tokenizer_config.json, special_tokens_map.json, or NULL */
    const json_t *map;
} clipc_pieces_source;

/* The classes of transformers that load tokenizers of pieces. */
typedef enum clipc_pieces_class {
    CLIPC_CLASS_NONE,    /* CLIP's tokenizer */
    CLIPC_CLASS_BACKEND, /* tokenizer.json is taken as it is */
    CLIPC_CLASS_SIGLIP,
    CLIPC_CLASS_SIGLIP2,
    CLIPC_CLASS_GEMMA,
    CLIPC_CLASS_T5,
    CLIPC_CLASS_XLM_ROBERTA
} clipc_pieces_class;

/* Whether the class takes the vocabulary of a unigram model alone, and puts its own steps around it. */
static inline bool clipc_pieces_class_is_t5_like(clipc_pieces_class class)
{
    return class == CLIPC_CLASS_T5 || class == CLIPC_CLASS_XLM_ROBERTA;
}

/* Which class loads these files. `tokenizer` and `config` may be NULL. */
clipc_pieces_class clipc_pieces_classify(const json_t *tokenizer, const json_t *config, const char *model_type);
/* Collects everything that is packed: parts and pieces, which are the caller's to free also after a failure. */
clipc_status clipc_pieces_collect(const clipc_pieces_source *from, size_t vocabulary_size,
                                  clipc_special_tokens *tokens, clipc_packed_parts *parts, clipc_pieces_parts *pieces,
                                  clipc_error *error);
void clipc_pieces_parts_free(clipc_pieces_parts *pieces);
/* Normalizer, pre_tokenizer and cleaning as steps and flags of `out`. */
clipc_status clipc_pieces_pipeline(const json_t *tokenizer, const char *name, clipc_pieces_class class,
                                   clipc_text_cleaning cleaning, bool lower_case, clipc_pieces_parts *out,
                                   clipc_error *error);
/* The same for SiglipTokenizer with spiece.model; `unknown` is the text of the unknown token. */
clipc_status clipc_pieces_sentence_pipeline(const clipc_sentencepiece *from, const char *name,
                                            clipc_text_cleaning cleaning, bool lower_case, const char *unknown,
                                            clipc_pieces_parts *out, clipc_error *error);
/* model_max_length (UINT64_MAX: none). */
clipc_status clipc_tokenizer_config_max_length(const json_t *config, const char *name, uint64_t *max_length,
                                               clipc_error *error);

/* Fill parts->merges, which is the caller's to free also after a failure. */
clipc_status clipc_merges_read_text(const clipc_tokenizer_file *file, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error);
clipc_status clipc_merges_read_json(const json_t *merges, const char *name, const clipc_vocabulary *vocabulary,
                                    clipc_packed_parts *parts, clipc_error *error);
clipc_status clipc_merges_read_pairs(const clipc_merge_text *merges, size_t count, const char *name,
                                     const clipc_vocabulary *vocabulary, clipc_packed_parts *parts,
                                     clipc_error *error);

#endif
