/* The tokens of a vocabulary while a tokenizer is built: from text to id. */
#ifndef CLIPC_TEXT_VOCABULARY_H
#define CLIPC_TEXT_VOCABULARY_H

#include "text/packed.h"
#include "text/quick_json.h"

#include <jansson.h>
#include <stdbool.h>

typedef struct clipc_vocabulary_entry {
    const char *text; /* a view; not terminated */
    size_t length;
    json_int_t id;
} clipc_vocabulary_entry;

typedef struct clipc_vocabulary {
    clipc_vocabulary_entry *entries; /* in the order of the file */
    size_t count;
    struct clipc_vocabulary_slot {
        uint32_t tag;
        uint32_t number; /* of the entry, counted from 1; 0: free */
    } * slots;
    uint32_t bits;   /* 1 << bits slots */
    uint32_t *by_id; /* [id_limit]: the number of the entry with that id; 0: none */
    size_t id_limit;
} clipc_vocabulary;

/* Reads {"token": id, …} where `reader` stands, of at most `most` entries. *taken is false, and the vocabulary empty,
 * when the value is to be judged by jansson. */
clipc_status clipc_vocabulary_read_quick(clipc_quick_json *reader, size_t most, clipc_vocabulary *out, bool *taken,
                                         clipc_error *error);
/* From jansson's object, which must live as long. */
clipc_status clipc_vocabulary_read_json(const json_t *object, const char *name, clipc_vocabulary *out,
                                        clipc_error *error);
/* For what fills the entries itself: room for `most` (the vocabulary was zeroed), then the hash table; *distinct is
 * false when a text is there twice, or too many collide. */
clipc_status clipc_vocabulary_reserve(clipc_vocabulary *vocabulary, size_t most, clipc_error *error);
clipc_status clipc_vocabulary_index(clipc_vocabulary *vocabulary, bool *distinct, clipc_error *error);
/* Checks that the ids are distinct and below `vocabulary_size`, and fills by_id. */
clipc_status clipc_vocabulary_check(clipc_vocabulary *vocabulary, const char *name, size_t vocabulary_size,
                                    clipc_error *error);
/* A zeroed struct is allowed. */
void clipc_vocabulary_free(clipc_vocabulary *vocabulary);

/* The id of a token, or CLIPC_NO_TOKEN. Of a vocabulary that was checked. */
uint32_t clipc_vocabulary_find(const clipc_vocabulary *vocabulary, const char *text, size_t length);
/* Whether the token `id` exists and is this text. */
bool clipc_vocabulary_is(const clipc_vocabulary *vocabulary, uint32_t id, const char *text, size_t length);

/* The tokens of single bytes; those the vocabulary has not become `unknown`. */
clipc_status clipc_vocabulary_bytes(const clipc_vocabulary *vocabulary, const char *name, uint32_t unknown,
                                    clipc_packed_parts *parts, clipc_error *error);
/* Fills parts->words, which is the caller's to free. */
clipc_status clipc_vocabulary_words(const clipc_vocabulary *vocabulary, clipc_packed_parts *parts, clipc_error *error);

#endif
