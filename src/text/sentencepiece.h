/* The files of SentencePiece (spiece.model, tokenizer.model): a message ModelProto of protocol buffers, read field by
 * field (sentencepiece_model.proto of https://github.com/google/sentencepiece says what they are). */
#ifndef CLIPC_TEXT_SENTENCEPIECE_H
#define CLIPC_TEXT_SENTENCEPIECE_H

#include "text/tokenizer_build.h"

/* What a piece is: sentencepiece_model.proto, SentencePiece.Type. */
typedef enum clipc_piece_type {
    CLIPC_PIECE_NORMAL = 1,
    CLIPC_PIECE_UNKNOWN,
    CLIPC_PIECE_CONTROL,
    CLIPC_PIECE_USER_DEFINED,
    CLIPC_PIECE_UNUSED,
    CLIPC_PIECE_BYTE
} clipc_piece_type;

/* What such a file says beside its pieces and their scores. */
struct clipc_sentencepiece {
    uint8_t *types; /* [pieces], each a clipc_piece_type */
    bool unigram;   /* else byte pairs */
    bool byte_fallback;
    size_t unknown;          /* the one piece of that type */
    float least;             /* score of a normal piece */
    const uint8_t *charsmap; /* a view of the file */
    size_t charsmap_size;
    bool dummy_prefix; /* a space before every text */
    bool strips;       /* no spaces at the ends, one between words */
    bool escapes;      /* spaces become U+2581 */
    bool space_is_suffix;
};

/* Fills a zeroed source: its vocabulary, whose texts are views of the file, scores, of byte pairs merges, and as root
 * what a tokenizer.json of the same would say of the model and its added tokens. `config` is tokenizer_config.json or
 * NULL. Close the source also after a failure. */
clipc_status clipc_sentencepiece_open(const clipc_tokenizer_file *file, const json_t *config, clipc_token_source *out,
                                      clipc_error *error);
void clipc_sentencepiece_free(clipc_sentencepiece *from);

#endif
