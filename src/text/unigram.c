/* The likeliest split of a word into tokens, as the reference finds it (tokenizers, models/unigram/model.rs,
 * encode_optimized; sentencepiece, unigram_model.cc): Viterbi over the places where characters begin. Scores are
 * summed from the left in double, and of equal sums the first found stays, so that even ties fall alike. */
#include "base/memory.h"
#include "text/pieces.h"

#define SHORT_WORD ((size_t)96)
#define NO_START   UINT32_MAX

/* The best way to a place in the word. */
typedef struct path_end {
    double score;
    uint32_t token;
    uint32_t start; /* of its last token, or NO_START */
    uint32_t next;  /* the end of the token that begins here, once the path is known */
} path_end;

static void offer(path_end *end, double score, uint32_t token, size_t start)
{
    if (end->start != NO_START && !(score > end->score))
        return;
    end->score = score;
    end->token = token;
    end->start = (uint32_t)start;
}

static size_t character_bytes(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* SentencePiece's sums are floats. */
static double sum(const clipc_pieces *pieces, double score, double before)
{
    return pieces->header->flags & CLIPC_PIECES_SENTENCE ? (double)((float)score + (float)before) : score + before;
}

static clipc_status find_path(const clipc_pieces *pieces, const uint8_t *bytes, size_t length, path_end *ends,
                              clipc_error *error)
{
    for (size_t i = 0; i <= length; i++)
        ends[i] = (path_end){.start = NO_START};
    for (size_t at = 0; at < length;) {
        const double score = ends[at].score;
        const size_t character = character_bytes(bytes[at]);
        bool single = false;
        uint32_t node = CLIPC_ROOT_NODE;
        for (size_t i = at; i < length; i++) {
            const clipc_packed_edge *edge = clipc_pieces_edge(pieces, node, bytes[i]);
            if (!edge)
                break;
            node = edge->to;
            if (edge->token >= pieces->header->score_count)
                continue;
            offer(&ends[i + 1], sum(pieces, pieces->scores[edge->token], score), edge->token, at);
            single = single || i + 1 == at + character;
        }
        if (!single) {
            CLIPC_FAIL_IF(pieces->header->unknown_token == CLIPC_NO_TOKEN, error, CLIPC_ERROR_FORMAT,
                          "the text has a character that the tokenizer has no token for");
            offer(&ends[at + character], sum(pieces, pieces->header->unknown_score, score),
                  pieces->header->unknown_token, at);
        }
        at += character;
    }
    return CLIPC_OK;
}

uint32_t clipc_pieces_find(const clipc_pieces *pieces, const uint8_t *bytes, size_t length)
{
    uint32_t node = CLIPC_ROOT_NODE;
    uint32_t token = CLIPC_NO_TOKEN;
    for (size_t i = 0; i < length; i++) {
        const clipc_packed_edge *edge = clipc_pieces_edge(pieces, node, bytes[i]);
        if (!edge)
            return CLIPC_NO_TOKEN;
        node = edge->to;
        token = edge->token;
    }
    return token;
}

/* Unknown characters side by side are one: a token of that text, single bytes, or the unknown token. */
static clipc_status add_unknown(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                                clipc_token_sink *sink, clipc_error *error)
{
    const clipc_pieces_header *header = tokenizer->pieces->header;
    const bool sentence = header->flags & CLIPC_PIECES_SENTENCE;
    uint32_t token = sentence ? CLIPC_NO_TOKEN : clipc_pieces_find(tokenizer->pieces, bytes, length);
    bool falls_back = token == CLIPC_NO_TOKEN && (header->flags & CLIPC_PIECES_BYTE_FALLBACK);
    for (size_t i = 0; i < length && falls_back; i++)
        falls_back = header->base.byte_tokens[0][bytes[i]] != CLIPC_NO_TOKEN;
    if (!falls_back)
        return clipc_token_sink_add(sink, tokenizer, token == CLIPC_NO_TOKEN ? header->unknown_token : token, error);
    for (size_t i = 0; i < length && sink->count < sink->limit; i++)
        CLIPC_TRY(clipc_token_sink_add(sink, tokenizer, header->base.byte_tokens[0][bytes[i]], error));
    return CLIPC_OK;
}

static clipc_status add_path(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, path_end *ends,
                             clipc_token_sink *sink, clipc_error *error)
{
    const uint32_t unknown = tokenizer->pieces->header->unknown_token;
    for (size_t at = length; at > 0; at = ends[at].start)
        ends[ends[at].start].next = (uint32_t)at;
    for (size_t at = 0; at < length && sink->count < sink->limit;) {
        size_t end = ends[at].next;
        if (ends[end].token != unknown) {
            CLIPC_TRY(clipc_token_sink_add(sink, tokenizer, ends[end].token, error));
        } else {
            while (end < length && ends[ends[end].next].token == unknown)
                end = ends[end].next;
            CLIPC_TRY(add_unknown(tokenizer, bytes + at, end - at, sink, error));
        }
        at = end;
    }
    return CLIPC_OK;
}

typedef clipc_status (*use_path)(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, path_end *ends,
                                 clipc_token_sink *sink, clipc_error *error);

static clipc_status split(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, use_path use,
                          clipc_token_sink *sink, clipc_error *error)
{
    CLIPC_FAIL_IF(length >= UINT32_MAX / 4, error, CLIPC_ERROR_LIMIT, "a word of %zu bytes is too long", length);
    path_end own[SHORT_WORD + 1];
    path_end *ends = own;
    if (length > SHORT_WORD) {
        ends = clipc_allocate(length + 1, sizeof *ends);
        if (!ends)
            return clipc_fail_memory(error, (length + 1) * sizeof *ends, "a long word");
    }
    clipc_status status = find_path(tokenizer->pieces, bytes, length, ends, error);
    if (status == CLIPC_OK)
        status = use(tokenizer, bytes, length, ends, sink, error);
    if (ends != own)
        clipc_free(ends);
    return status;
}

clipc_status clipc_unigram_word(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                                clipc_token_sink *sink, clipc_error *error)
{
    return split(tokenizer, bytes, length, add_path, sink, error);
}

/* ---- whole texts behind a prefix ---- */

#define LONGEST_PREFIX ((size_t)256)

clipc_status clipc_unigram_sentence(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                                    size_t prefix, clipc_token_sink *sink, clipc_error *error)
{
    int32_t ids[LONGEST_PREFIX];
    clipc_token_sink before = {.ids = ids, .limit = LONGEST_PREFIX};
    CLIPC_FAIL_IF(prefix > length || prefix > LONGEST_PREFIX / 4, error, CLIPC_ERROR_LIMIT,
                  "the unknown token is %zu bytes long", prefix);
    CLIPC_TRY(split(tokenizer, bytes, prefix, add_path, &before, error));
    /* Room for what is left out again. */
    const size_t wanted = sink->limit - sink->count + before.count;
    clipc_token_sink all = {.ids = clipc_allocate(wanted, sizeof *all.ids), .limit = wanted};
    if (!all.ids)
        return clipc_fail_memory(error, wanted * sizeof *all.ids, "ids");
    clipc_status status = split(tokenizer, bytes, length, add_path, &all, error);
    const size_t left_out = all.count >= before.count ? before.count : 0;
    for (size_t i = left_out; status == CLIPC_OK && i < all.count && sink->count < sink->limit; i++)
        sink->ids[sink->count++] = all.ids[i];
    clipc_free(all.ids);
    return status;
}
