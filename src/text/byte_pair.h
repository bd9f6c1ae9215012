/* Byte-pair encoding of one word. */
#ifndef CLIPC_TEXT_BYTE_PAIR_H
#define CLIPC_TEXT_BYTE_PAIR_H

#include "text/packed.h"

/* Where ids go: at most `limit`, the rest is dropped. */
typedef struct clipc_token_sink {
    int32_t *ids;
    size_t count;
    size_t limit;
} clipc_token_sink;

/* Adds one id; an id that the model has no row for (a damaged block) is CLIPC_ERROR_FORMAT. */
clipc_status clipc_token_sink_add(clipc_token_sink *sink, const clipc_tokenizer *tokenizer, uint32_t id,
                                  clipc_error *error);

/* Adds the ids of a word of `length` ≥ 1 bytes (after the splitting; the last byte carries the end-of-word mark).
 * Allocates only for words of more than a hundred bytes; O(n log n). */
clipc_status clipc_merge_word(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                              clipc_token_sink *sink, clipc_error *error);
/* The same by merging alone, without the table of whole words. */
clipc_status clipc_merge_bytes(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                               clipc_token_sink *sink, clipc_error *error);

/* Tries every word of the table of whole words that was not met yet. */
void clipc_merge_try_words(const clipc_tokenizer *tokenizer);

#endif
