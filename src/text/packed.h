/* The packed tokenizer: one position-independent block that is used where it lies.
 *
 * header | added tokens | their text | merges | words, each part aligned to 8. Nothing in the block is a pointer, and
 * no number in it is trusted: opening checks the header, the parts' places and the added tokens (few); what the two
 * large hash tables hold is only compared, or handed on as an id, which is checked as it is written.
 */
#ifndef CLIPC_TEXT_PACKED_H
#define CLIPC_TEXT_PACKED_H

#include "text/tokenizer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define CLIPC_PACKED_MAGIC   "clipctok"
#define CLIPC_PACKED_VERSION ((uint32_t)1)
/* A byte that has no token of its own and, without an unknown token, is dropped. */
#define CLIPC_NO_TOKEN UINT32_MAX
/* Longest word that the table of whole words holds: with its length it fills a key. */
#define CLIPC_WORD_BYTES       ((size_t)15)
#define CLIPC_MAX_ADDED_TOKENS ((size_t)1024)
#define CLIPC_MAX_ADDED_BYTES  ((size_t)4096) /* of one added token */
#define CLIPC_MIN_TABLE_BITS   ((uint32_t)4)
#define CLIPC_MAX_TABLE_BITS   ((uint32_t)26)
/* Longest walk through a hash table; a table that would need a longer one is made larger. */
#define CLIPC_MAX_PROBES ((uint32_t)64)

/* Added tokens are found in the raw text, or (normalized) in the text after NFC and lower-casing. */
typedef struct clipc_packed_token {
    uint32_t text; /* offset into the added tokens' text */
    uint32_t length;
    uint32_t id;
    uint32_t normalized;
} clipc_packed_token;

/* Symbols left and right become `result`; lower ranks first. Free slots have `left` CLIPC_NO_TOKEN. */
typedef struct clipc_packed_merge {
    uint32_t left;
    uint32_t right;
    uint32_t rank;
    uint32_t result;
} clipc_packed_merge;

/* A word that may be one token: its bytes, zero-padded, and its length in the last byte. Free slots have length 0. The
 * table only saves time: whether merging turns a word into that one token is tried when the word is first met, or when
 * the block is handed out to be kept. */
typedef struct clipc_packed_word {
    uint64_t key[2];
    uint32_t id;
    _Atomic uint32_t state; /* changes in a block that the tokenizer made, never in one that is used in place */
} clipc_packed_word;

#define CLIPC_WORD_IS_TOKEN ((uint32_t)0)
#define CLIPC_WORD_IS_NONE  ((uint32_t)1)
#define CLIPC_WORD_UNTRIED  ((uint32_t)2)

typedef struct clipc_packed_header {
    char magic[8];
    uint32_t version;
    uint32_t header_size;
    uint64_t size;       /* of the whole block */
    uint64_t max_length; /* model_max_length, or UINT64_MAX */
    uint32_t largest_id;
    uint32_t start_token;
    uint32_t end_token;
    uint32_t added_count;
    uint64_t added_place; /* from the block's beginning */
    uint64_t text_place;
    uint64_t text_size;
    uint64_t merges_place;
    uint64_t words_place;
    uint32_t merges_bits; /* 1 << bits slots */
    uint32_t merges_probes;
    uint32_t words_bits;
    uint32_t words_probes;
    uint32_t byte_tokens[2][256]; /* the token of a byte: inside a word, at its end */
} clipc_packed_header;

typedef struct clipc_pieces clipc_pieces; /* text/pieces.h */
typedef struct clipc_pieces_parts clipc_pieces_parts;

struct clipc_tokenizer {
    const clipc_packed_header *header;
    const clipc_packed_token *added;
    const uint8_t *added_text;
    const clipc_packed_merge *merges;
    const clipc_packed_word *words;
    clipc_packed_word *own_words; /* the same, when this tokenizer made the block; else NULL */
    size_t vocabulary_size;
    /* which bytes begin an added token: raw, normalized */
    uint8_t begins_added[2][256];
    void *heap;           /* the block, when this tokenizer made it */
    clipc_pieces *pieces; /* of a block of version 2; else NULL */
};

static inline uint64_t clipc_packed_hash(uint64_t a, uint64_t b, uint32_t bits)
{
    const uint64_t mixed = (a ^ (b << 32 | b >> 32)) * 0x9E3779B97F4A7C15u;
    return ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9u) >> (64 - bits);
}

static inline const clipc_packed_merge *clipc_packed_find_merge(const clipc_tokenizer *tokenizer, uint32_t left,
                                                                uint32_t right)
{
    const uint32_t bits = tokenizer->header->merges_bits;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t slot = clipc_packed_hash(left, right, bits);
    for (uint32_t probe = 0; probe <= tokenizer->header->merges_probes; probe++) {
        const clipc_packed_merge *merge = &tokenizer->merges[slot];
        if (merge->left == left && merge->right == right)
            return merge;
        if (merge->left == CLIPC_NO_TOKEN)
            return NULL;
        slot = (slot + 1) & mask;
    }
    return NULL;
}

/* `length` 1 … CLIPC_WORD_BYTES. */
static inline void clipc_packed_word_key(const uint8_t *bytes, size_t length, uint64_t key[2])
{
    uint8_t padded[16] = {0};
    memcpy(padded, bytes, length);
    padded[CLIPC_WORD_BYTES] = (uint8_t)length;
    memcpy(key, padded, sizeof padded);
}

static inline const clipc_packed_word *clipc_packed_find_word(const clipc_tokenizer *tokenizer, const uint64_t key[2])
{
    const uint32_t bits = tokenizer->header->words_bits;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t slot = clipc_packed_hash(key[0], key[1], bits);
    for (uint32_t probe = 0; probe <= tokenizer->header->words_probes; probe++) {
        const clipc_packed_word *word = &tokenizer->words[slot];
        if (word->key[0] == key[0] && word->key[1] == key[1])
            return word;
        if (word->key[1] == 0)
            return NULL;
        slot = (slot + 1) & mask;
    }
    return NULL;
}

/* What is collected from the files before it is packed. The arrays are the caller's. */
typedef struct clipc_packed_parts {
    uint64_t max_length;
    uint32_t start_token;
    uint32_t end_token;
    uint32_t byte_tokens[2][256];
    struct clipc_added_text {
        uint8_t *text; /* normalised, if it is looked for in normalised text */
        uint32_t length;
        uint32_t id;
        uint32_t normalized;
    } * added;
    size_t added_count;
    clipc_packed_merge *merges; /* [merge_count], ranks ascending; of a repeated pair the last counts */
    size_t merge_count;
    struct clipc_whole_word { /* candidates: tokens that stand for a whole word */
        uint8_t bytes[CLIPC_WORD_BYTES];
        uint8_t length;
        uint32_t id;
    } * words;
    size_t word_count;
    size_t most_bytes; /* that the block may take */
} clipc_packed_parts;

/* Lays the parts out as a tokenizer that owns its block: CLIP's, or with `pieces` (which it sorts) one of pieces. */
clipc_status clipc_packed_build(const clipc_packed_parts *parts, clipc_pieces_parts *pieces, size_t vocabulary_size,
                                clipc_tokenizer **out, clipc_error *error);

#endif
