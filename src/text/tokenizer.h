/* Text to token ids. */
#ifndef CLIPC_TEXT_TOKENIZER_H
#define CLIPC_TEXT_TOKENIZER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct clipc_tokenizer clipc_tokenizer;

/* One file of the tokenizer: a view of its bytes and what messages call it. bytes NULL: the file does not exist. */
typedef struct clipc_tokenizer_file {
    const void *bytes;
    size_t size;
    const char *name;
} clipc_tokenizer_file;

/* What open_clip does to a text before its tokenizer sees it: "clean" of text_cfg.tokenizer_kwargs in
 * open_clip_config.json, which is "whitespace" where hf_tokenizer_name is given and "clean" is not
 * (open_clip/tokenizer.py, get_clean_fn and HFTokenizer). ftfy and the unescaping of HTML, with which each begins, are
 * left out. */
typedef enum clipc_text_cleaning {
    CLIPC_CLEAN_NOTHING,     /* transformers */
    CLIPC_CLEAN_WHITESPACE,  /* runs of white space become one space, none at the ends */
    CLIPC_CLEAN_LOWER,       /* the same, and lower case */
    CLIPC_CLEAN_CANONICALIZE /* the same, with "_" as a space and no ASCII punctuation: SigLIP's */
} clipc_text_cleaning;

/* Its name, as open_clip has it; NULL for nothing. */
const char *clipc_text_cleaning_name(clipc_text_cleaning cleaning);
/* False for a name that is none of those. */
bool clipc_text_cleaning_parse(const char *name, clipc_text_cleaning *out);

/* What the model directory holds. tokenizer_json alone, or vocab + merges, or sentencepiece; the others are optional.
 * Zero what is not known. */
typedef struct clipc_tokenizer_files {
    clipc_tokenizer_file tokenizer_json;
    clipc_tokenizer_file vocab;
    clipc_tokenizer_file merges;
    clipc_tokenizer_file sentencepiece;    /* where there is no tokenizer.json: spiece.model or tokenizer.model */
    clipc_tokenizer_file tokenizer_config; /* model_max_length, special tokens */
    clipc_tokenizer_file special_tokens_map;
    /* model_type of config.json, or NULL. transformers reads the tokenizer of "siglip2" as Siglip2Tokenizer where the
     * files say GemmaTokenizer (models/auto/tokenization_auto.py): in lower case. */
    const char *model_type;
    clipc_text_cleaning cleaning; /* not for CLIP's tokenizer */
} clipc_tokenizer_files;

/* Three kinds of tokenizer are built, each as transformers 5 builds it from the same files:
 * - CLIP's: byte-level byte-pair encoding, with start and end token.
 * - unigram models (SigLIP's and T5's classes, or a tokenizer.json whose model is "Unigram").
 * - byte-pair encoding with single bytes as a fallback (Siglip2Tokenizer, GemmaTokenizer, or byte_fallback).
 * tokenizer_class of tokenizer_config.json decides what of tokenizer.json counts, as it does there (docs/formats.md).
 *
 * Builds the tokenizer from the files; keeps no reference to them. Every id is checked to be below `vocabulary_size`
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

/* The files of transformers' CLIPTokenizer, as text to be freed with clipc_tokenizer_texts_free. */
typedef struct clipc_tokenizer_texts {
    char *vocab;  /* vocab.json */
    char *merges; /* merges.txt */
    char *config; /* tokenizer_config.json, with `max_length` as its model_max_length */
} clipc_tokenizer_texts;

/* Writes a tokenizer of which only the packed form is at hand. What these files cannot say (tokens that no merge
 * makes, say) is CLIPC_ERROR_UNSUPPORTED: a tokenizer built from them has been compared with this one. */
clipc_status clipc_tokenizer_write(const clipc_tokenizer *tokenizer, size_t max_length, clipc_tokenizer_texts *out,
                                   clipc_error *error);
void clipc_tokenizer_texts_free(clipc_tokenizer_texts *texts);

/* The most ids the files allow a text (model_max_length), start and end token included; SIZE_MAX when they say
 * nothing.
 */
size_t clipc_tokenizer_max_length(const clipc_tokenizer *tokenizer);

/* How texts are filled up. */
typedef struct clipc_tokenizer_padding {
    bool pads;     /* the model is meant to be given texts of its whole context, padding included: SigLIP */
    bool left;     /* the padding comes first */
    int32_t token; /* what is filled up with; -1: the files name none */
} clipc_tokenizer_padding;

/* CLIP's tokenizer does not pad (its token would be the end token); those of the two other kinds do if they name a
 * token for it. */
void clipc_tokenizer_get_padding(const clipc_tokenizer *tokenizer, clipc_tokenizer_padding *out);

/* Whether it is one of pieces, not CLIP's: clipc_tokenizer_write cannot write those. */
bool clipc_tokenizer_is_of_pieces(const clipc_tokenizer *tokenizer);

/* Writes the text's ids to `ids`, at most `limit` of them, with what the files put around every text: CLIP's start and
 * end token (limit ≥ 2), the tokens of the other kinds' post_processor, mostly "</s>" or "<eos>" at the end, or none.
 * A longer text is cut, never the tokens around it. *count may be 0. Thread-safe. Text that is not UTF-8 is
 * CLIPC_ERROR_FORMAT. */
clipc_status clipc_tokenizer_encode(const clipc_tokenizer *tokenizer, const char *text, size_t length, size_t limit,
                                    int32_t *ids, size_t *count, clipc_error *error);

/* The same, filled up to exactly `context` ids: what SigLIP's text tower is given (padding = "max_length",
 * truncation). CLIPC_ERROR_UNSUPPORTED when the files name no token to pad with. Thread-safe. */
clipc_status clipc_tokenizer_encode_padded(const clipc_tokenizer *tokenizer, const char *text, size_t length,
                                           size_t context, int32_t *ids, clipc_error *error);

#endif
