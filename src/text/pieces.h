/* Tokenizers of pieces, SigLIP's: unigram models, and byte-pair encoding of characters with single bytes as a
 * fallback. Their packed form is version 2 of the block in packed.h: a longer header, whose beginning is the same, and
 * after the words steps | the steps' text | charsmap | edges | scores, each part aligned to 8. What is said there of
 * trust holds here: opening checks places and the few steps; edges, scores and charsmap are checked as they are
 * followed. */
#ifndef CLIPC_TEXT_PIECES_H
#define CLIPC_TEXT_PIECES_H

#include "text/byte_pair.h"
#include "text/packed.h"
#include "text/steps.h"

#define CLIPC_PIECES_VERSION   ((uint32_t)2)
#define CLIPC_MAX_TEMPLATE     ((size_t)8)  /* tokens before or after every text */
#define CLIPC_MAX_PIECE_STEPS  ((size_t)64) /* of cleaning and normalizer together */
#define CLIPC_ROOT_NODE        ((uint32_t)0)
#define CLIPC_MAX_NODES        ((size_t)1 << 24)
#define CLIPC_FREE_EDGE        UINT32_MAX
#define CLIPC_SPACE_MARK       "\xE2\x96\x81" /* U+2581, which stands for a space */
#define CLIPC_SPACE_MARK_BYTES ((size_t)3)

typedef enum clipc_pieces_model { CLIPC_PIECES_BPE = 1, CLIPC_PIECES_UNIGRAM } clipc_pieces_model;

/* Whether a space mark is put before a piece of text that has none. FIRST: only at the beginning of the input. */
typedef enum clipc_pieces_prepend { CLIPC_PREPEND_NEVER, CLIPC_PREPEND_FIRST, CLIPC_PREPEND_ALWAYS } clipc_prepend;

#define CLIPC_PIECES_BYTE_FALLBACK ((uint32_t)1)
#define CLIPC_PIECES_FUSE_UNKNOWN  ((uint32_t)2)
#define CLIPC_PIECES_SPLIT_SPACE   ((uint32_t)4)  /* white space separates, and is left out */
#define CLIPC_PIECES_SPLIT_AFTER   ((uint32_t)8)  /* a piece ends after a space */
#define CLIPC_PIECES_METASPACE     ((uint32_t)16) /* spaces become marks, `prepend` counts */
#define CLIPC_PIECES_SPLIT_MARKS   ((uint32_t)32) /* a piece begins at every mark */
#define CLIPC_PIECES_SPLIT_WORDS   ((uint32_t)64) /* … at a mark behind another character: no token crosses that */
#define CLIPC_PIECES_PADS          ((uint32_t)128)
#define CLIPC_PIECES_PAD_LEFT      ((uint32_t)256)
/* As SentencePiece itself splits a text (sentence.h): in one, sums in float. What CLIPC_STEP_PREFIX put before it is
 * taken away again, and no end is added to a text that has one. */
#define CLIPC_PIECES_SENTENCE ((uint32_t)512)

/* Flags of an added token, beside `normalized` in bit 0: white space before or after it goes with it. */
#define CLIPC_ADDED_LEFT_STRIP  ((uint32_t)2)
#define CLIPC_ADDED_RIGHT_STRIP ((uint32_t)4)

/* An edge of the trie of tokens. Nodes are numbered from the root, 0. */
typedef struct clipc_packed_edge {
    uint32_t from; /* node << 8 | byte, or CLIPC_FREE_EDGE */
    uint32_t to;
    uint32_t token; /* that ends with this byte, or CLIPC_NO_TOKEN */
    uint32_t unused;
} clipc_packed_edge;

/* base.byte_tokens[0] are the tokens of the fallback, CLIPC_NO_TOKEN where there are none. */
typedef struct clipc_pieces_header {
    clipc_packed_header base;
    uint32_t model;
    uint32_t flags;
    uint32_t prepend;
    uint32_t unknown_token; /* or CLIPC_NO_TOKEN */
    uint32_t pad_token;     /* or CLIPC_NO_TOKEN */
    uint32_t before_count;
    uint32_t after_count;
    uint32_t cleaning_count; /* steps for the whole text; the normalizer's follow them */
    uint32_t normalizer_count;
    uint32_t edges_bits;
    uint32_t edges_probes;
    uint32_t score_count;
    uint32_t before[CLIPC_MAX_TEMPLATE];
    uint32_t after[CLIPC_MAX_TEMPLATE];
    double unknown_score;
    uint64_t steps_place;
    uint64_t steps_text_place;
    uint64_t steps_text_size;
    uint64_t charsmap_place;
    uint64_t charsmap_size; /* 0: none */
    uint64_t edges_place;
    uint64_t scores_place;
} clipc_pieces_header;

/* What a tokenizer of pieces has beside clipc_tokenizer's parts. */
struct clipc_pieces {
    const clipc_pieces_header *header;
    clipc_steps cleaning;
    clipc_steps normalizer;
    clipc_charsmap charsmap;
    const clipc_packed_edge *edges;
    const double *scores;
};

/* What is collected from the files before it is packed, beside clipc_packed_parts. The arrays are the caller's. */
struct clipc_pieces_parts {
    clipc_pieces_header header; /* model, flags, prepend, tokens, template, numbers of steps */
    clipc_step steps[CLIPC_MAX_PIECE_STEPS];
    uint8_t steps_text[4096];
    size_t steps_text_size;
    uint8_t *charsmap;
    size_t charsmap_size;
    struct clipc_piece { /* tokens of the trie: all of them, or (byte pairs) the single characters */
        const char *text;
        size_t length;
        uint32_t id;
    } * pieces;
    size_t piece_count;
    double *scores; /* [score_count], of a unigram model */
};

/* For build.c. Sorts the pieces and returns the number of the trie's nodes. */
size_t clipc_pieces_sort(clipc_pieces_parts *parts);
/* Finds places, from header->base.size on, for what version 2 adds. */
void clipc_pieces_plan(const clipc_pieces_parts *parts, uint32_t edges_bits, clipc_pieces_header *header);
/* Writes it into a block that begins with the header; false when the edges need a larger table. */
bool clipc_pieces_fill(const clipc_pieces_parts *parts, uint8_t *block);

/* Checks what version 2 adds to a block and fills `out`; the base was checked. */
clipc_status clipc_pieces_open(const void *bytes, const char *name, clipc_pieces *out, clipc_error *error);

/* The edge from a node, or NULL. */
static inline const clipc_packed_edge *clipc_pieces_edge(const clipc_pieces *pieces, uint32_t node, uint8_t byte)
{
    const uint32_t bits = pieces->header->edges_bits;
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    const uint32_t from = node << 8 | byte;
    uint64_t slot = clipc_packed_hash(node, byte, bits);
    for (uint32_t probe = 0; probe <= pieces->header->edges_probes; probe++) {
        const clipc_packed_edge *edge = &pieces->edges[slot];
        if (edge->from == from)
            return edge;
        if (edge->from == CLIPC_FREE_EDGE)
            return NULL;
        slot = (slot + 1) & mask;
    }
    return NULL;
}

/* The token that is exactly these bytes, or CLIPC_NO_TOKEN. */
uint32_t clipc_pieces_find(const clipc_pieces *pieces, const uint8_t *bytes, size_t length);
/* Byte pairs: the symbols that a word starts as, at most `length`. */
size_t clipc_pieces_symbols(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, uint32_t *symbols);
/* Unigram: adds the ids of the likeliest split of a word. */
clipc_status clipc_unigram_word(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                                clipc_token_sink *sink, clipc_error *error);
/* The same of a whole text behind a prefix, whose ids are left out. */
clipc_status clipc_unigram_sentence(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                                    size_t prefix, clipc_token_sink *sink, clipc_error *error);
/* clipc_tokenizer_encode for these tokenizers; the text is UTF-8. */
clipc_status clipc_pieces_encode(const clipc_tokenizer *tokenizer, const uint8_t *text, size_t length, size_t limit,
                                 int32_t *ids, size_t *count, clipc_error *error);

#endif
