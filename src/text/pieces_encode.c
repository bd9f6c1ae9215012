/* Text to ids with a tokenizer of pieces: cleaning, added tokens, normalizer, words. */
#include "text/pieces.h"
#include "text/unicode.h"

typedef struct pieces_encoder {
    const clipc_tokenizer *tokenizer;
    const clipc_pieces *pieces;
    clipc_token_sink sink;
    clipc_text_buffer cleaned;
    clipc_text_buffer normalized;
    clipc_text_buffer spare;
    clipc_text_buffer marked;
} pieces_encoder;

static bool is_full(const pieces_encoder *encoder)
{
    return encoder->sink.count == encoder->sink.limit;
}

size_t clipc_pieces_symbols(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, uint32_t *symbols)
{
    const clipc_pieces_header *header = tokenizer->pieces->header;
    size_t count = 0;
    size_t unknown = 0; /* that wait: the reference adds them before the next known character, behind single bytes */
    for (size_t at = 0; at < length;) {
        int32_t code_point = 0;
        const size_t step = clipc_utf8_read(bytes + at, &code_point);
        const uint32_t token = clipc_pieces_find(tokenizer->pieces, bytes + at, step);
        bool falls_back = token == CLIPC_NO_TOKEN && (header->flags & CLIPC_PIECES_BYTE_FALLBACK);
        for (size_t i = 0; i < step && falls_back; i++)
            falls_back = header->base.byte_tokens[0][bytes[at + i]] != CLIPC_NO_TOKEN;
        if (token != CLIPC_NO_TOKEN) {
            while (unknown > 0) {
                symbols[count++] = header->unknown_token;
                unknown--;
            }
            symbols[count++] = token;
        } else if (falls_back) {
            for (size_t i = 0; i < step; i++)
                symbols[count++] = header->base.byte_tokens[0][bytes[at + i]];
        } else if (header->unknown_token != CLIPC_NO_TOKEN) {
            /* Without fusing, the one that waits is added as the next is found. */
            if (unknown > 0 && !(header->flags & CLIPC_PIECES_FUSE_UNKNOWN))
                symbols[count++] = header->unknown_token;
            unknown = 1;
        }
        at += step;
    }
    if (unknown > 0)
        symbols[count++] = header->unknown_token;
    return count;
}

static bool is_mark(const uint8_t *bytes, size_t left)
{
    return left >= CLIPC_SPACE_MARK_BYTES && memcmp(bytes, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES) == 0;
}

/* The end of the word that begins at `at`: at every mark, or only at one behind another character. */
static size_t word_end(const uint8_t *bytes, size_t at, size_t length, bool every)
{
    bool behind_mark = is_mark(bytes + at, length - at);
    size_t end = at + (behind_mark ? CLIPC_SPACE_MARK_BYTES : 0);
    while (end < length) {
        const bool mark = bytes[end] == 0xE2 && is_mark(bytes + end, length - end);
        if (mark && (every || !behind_mark))
            return end;
        behind_mark = mark;
        end += mark ? CLIPC_SPACE_MARK_BYTES : 1;
    }
    return end;
}

static clipc_status encode_piece(pieces_encoder *encoder, const uint8_t *bytes, size_t length, clipc_error *error)
{
    const uint32_t flags = encoder->pieces->header->flags;
    const bool every = flags & CLIPC_PIECES_SPLIT_MARKS;
    if (!every && !(flags & CLIPC_PIECES_SPLIT_WORDS))
        return clipc_merge_word(encoder->tokenizer, bytes, length, &encoder->sink, error);
    for (size_t at = 0; at < length && !is_full(encoder);) {
        const size_t end = word_end(bytes, at, length, every);
        CLIPC_TRY(clipc_merge_word(encoder->tokenizer, bytes + at, end - at, &encoder->sink, error));
        at = end;
    }
    return CLIPC_OK;
}

/* Metaspace: spaces become marks, and one is put in front. */
static clipc_status mark_piece(pieces_encoder *encoder, const uint8_t *bytes, size_t length, bool at_start,
                               clipc_error *error)
{
    const clipc_pieces_header *header = encoder->pieces->header;
    if (!(header->flags & CLIPC_PIECES_METASPACE))
        return encode_piece(encoder, bytes, length, error);
    clipc_text_buffer *marked = &encoder->marked;
    const bool prepends =
        header->prepend == CLIPC_PREPEND_ALWAYS || (header->prepend == CLIPC_PREPEND_FIRST && at_start);
    marked->count = 0;
    if (prepends && bytes[0] != ' ' && !is_mark(bytes, length))
        CLIPC_TRY(clipc_text_buffer_add(marked, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES, error));
    for (size_t at = 0; at < length;) {
        const uint8_t *space = memchr(bytes + at, ' ', length - at);
        const size_t end = space ? (size_t)(space - bytes) : length;
        CLIPC_TRY(clipc_text_buffer_add(marked, bytes + at, end - at, error));
        if (space)
            CLIPC_TRY(clipc_text_buffer_add(marked, CLIPC_SPACE_MARK, CLIPC_SPACE_MARK_BYTES, error));
        at = end + 1;
    }
    return encode_piece(encoder, marked->bytes, marked->count, error);
}

/* The end of what stands before white space. */
static size_t field_end(const uint8_t *bytes, size_t at, size_t length)
{
    while (at < length) {
        int32_t code_point = 0;
        const size_t step = clipc_utf8_read(bytes + at, &code_point);
        if (clipc_code_classify(code_point) == CLIPC_CODE_SPACE)
            break;
        at += step;
    }
    return at;
}

/* The bytes that the last prefix of the normalizer became: it stands behind the space that every text gets. */
static size_t prefix_length(const clipc_pieces *pieces)
{
    size_t length = 0;
    for (size_t i = 0; i < pieces->normalizer.count; i++) {
        const clipc_step *step = &pieces->normalizer.steps[i];
        if (step->kind == CLIPC_STEP_PREFIX)
            length = step->content_length;
        else if (step->kind == CLIPC_STEP_SENTENCE && (step->flags & CLIPC_SENTENCE_PREFIX))
            length += step->flags & CLIPC_SENTENCE_ESCAPES ? CLIPC_SPACE_MARK_BYTES : 1;
    }
    return length;
}

static clipc_status split_text(pieces_encoder *encoder, const uint8_t *bytes, size_t length, bool at_start,
                               clipc_error *error)
{
    const uint32_t flags = encoder->pieces->header->flags;
    if (length == 0)
        return CLIPC_OK;
    if (flags & CLIPC_PIECES_SENTENCE)
        return clipc_unigram_sentence(encoder->tokenizer, bytes, length, prefix_length(encoder->pieces),
                                      &encoder->sink, error);
    if (!(flags & (CLIPC_PIECES_SPLIT_SPACE | CLIPC_PIECES_SPLIT_AFTER)))
        return mark_piece(encoder, bytes, length, at_start, error);
    for (size_t at = 0; at < length && !is_full(encoder);) {
        size_t end = 0;
        size_t next = 0;
        if (flags & CLIPC_PIECES_SPLIT_SPACE) {
            int32_t code_point = 0;
            end = next = field_end(bytes, at, length);
            if (next < length)
                next += clipc_utf8_read(bytes + next, &code_point);
        } else {
            const uint8_t *space = memchr(bytes + at, ' ', length - at);
            end = next = space ? (size_t)(space - bytes) + 1 : length;
        }
        if (end > at)
            CLIPC_TRY(mark_piece(encoder, bytes + at, end - at, at_start && at == 0, error));
        at = next;
    }
    return CLIPC_OK;
}

/* ---- added tokens ---- */

static const clipc_packed_token *added_at(const clipc_tokenizer *tokenizer, uint32_t normalized, const uint8_t *bytes,
                                          size_t left)
{
    const clipc_packed_token *best = NULL;
    for (size_t i = 0; i < tokenizer->header->added_count; i++) {
        const clipc_packed_token *token = &tokenizer->added[i];
        if ((token->normalized & 1) == normalized && token->length <= left &&
            (!best || token->length > best->length) &&
            memcmp(tokenizer->added_text + token->text, bytes, token->length) == 0)
            best = token;
    }
    return best;
}

static size_t white_space_before(const uint8_t *bytes, size_t at)
{
    while (at > 0) {
        int32_t code_point = 0;
        size_t begin = at - 1;
        while (begin > 0 && (bytes[begin] & 0xC0) == 0x80)
            begin--;
        clipc_utf8_read(bytes + begin, &code_point);
        if (clipc_code_classify(code_point) != CLIPC_CODE_SPACE)
            break;
        at = begin;
    }
    return at;
}

static size_t white_space_after(const uint8_t *bytes, size_t at, size_t length)
{
    while (at < length) {
        int32_t code_point = 0;
        const size_t step = clipc_utf8_read(bytes + at, &code_point);
        if (clipc_code_classify(code_point) != CLIPC_CODE_SPACE)
            break;
        at += step;
    }
    return at;
}

typedef clipc_status (*encode_between)(pieces_encoder *encoder, const uint8_t *bytes, size_t length, bool at_start,
                                       clipc_error *error);

/* Finds the added tokens of one kind, and hands on what lies between them. A token that takes the white space behind
 * it does not hide one that begins there (tokenizers, added_vocabulary.rs). */
static clipc_status split_added(pieces_encoder *encoder, uint32_t normalized, const uint8_t *bytes, size_t length,
                                bool at_start, encode_between between, clipc_error *error)
{
    const clipc_tokenizer *tokenizer = encoder->tokenizer;
    const uint8_t *begins = tokenizer->begins_added[normalized];
    size_t done = 0;
    for (size_t at = 0; at < length && !is_full(encoder);) {
        const clipc_packed_token *token =
            begins[bytes[at]] ? added_at(tokenizer, normalized, bytes + at, length - at) : NULL;
        if (!token) {
            at++;
            continue;
        }
        size_t begin = at;
        size_t end = at + token->length;
        at = end;
        if (token->normalized & CLIPC_ADDED_LEFT_STRIP) {
            begin = white_space_before(bytes, begin);
            begin = begin > done ? begin : done;
        }
        if (token->normalized & CLIPC_ADDED_RIGHT_STRIP)
            end = white_space_after(bytes, end, length);
        if (begin > done)
            CLIPC_TRY(between(encoder, bytes + done, begin - done, at_start && done == 0, error));
        CLIPC_TRY(clipc_token_sink_add(&encoder->sink, tokenizer, token->id, error));
        done = end;
    }
    if (done < length && !is_full(encoder))
        return between(encoder, bytes + done, length - done, at_start && done == 0, error);
    return CLIPC_OK;
}

static clipc_status normalize_text(pieces_encoder *encoder, const uint8_t *bytes, size_t length, bool at_start,
                                   clipc_error *error)
{
    CLIPC_TRY(clipc_steps_run(&encoder->pieces->normalizer, bytes, length, &encoder->normalized, &encoder->spare,
                              &at_start, error));
    return split_added(encoder, 1, encoder->normalized.bytes, encoder->normalized.count, at_start, split_text, error);
}

static clipc_status encode_text(pieces_encoder *encoder, const uint8_t *text, size_t length, clipc_error *error)
{
    bool at_start = true;
    if (encoder->pieces->cleaning.count > 0) {
        CLIPC_TRY(clipc_steps_run(&encoder->pieces->cleaning, text, length, &encoder->cleaned, &encoder->spare,
                                  &at_start, error));
        text = encoder->cleaned.bytes;
        length = encoder->cleaned.count;
    }
    return split_added(encoder, 0, text, length, true, normalize_text, error);
}

clipc_status clipc_pieces_encode(const clipc_tokenizer *tokenizer, const uint8_t *text, size_t length, size_t limit,
                                 int32_t *ids, size_t *count, clipc_error *error)
{
    const clipc_pieces_header *header = tokenizer->pieces->header;
    const size_t ends = (size_t)header->before_count + header->after_count;
    CLIPC_FAIL_IF(limit < ends || limit == 0, error, CLIPC_ERROR_ARGUMENT,
                  "a limit of %zu tokens leaves no room for the %zu that every text gets", limit, ends);
    pieces_encoder encoder;
    encoder.tokenizer = tokenizer;
    encoder.pieces = tokenizer->pieces;
    encoder.sink = (clipc_token_sink){.ids = ids + header->before_count, .limit = limit - ends};
    clipc_text_buffer *const buffers[] = {&encoder.cleaned, &encoder.normalized, &encoder.spare, &encoder.marked};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        clipc_text_buffer_init(buffers[i]);
    const clipc_status status = encode_text(&encoder, text, length, error);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        clipc_text_buffer_finish(buffers[i]);
    CLIPC_TRY(status);
    for (size_t i = 0; i < header->before_count; i++)
        ids[i] = (int32_t)header->before[i];
    const bool has_end = (header->flags & CLIPC_PIECES_SENTENCE) && header->after_count == 1 &&
                         encoder.sink.count > 0 &&
                         encoder.sink.ids[encoder.sink.count - 1] == (int32_t)header->after[0];
    for (size_t i = 0; !has_end && i < header->after_count; i++)
        ids[header->before_count + encoder.sink.count + i] = (int32_t)header->after[i];
    *count = encoder.sink.count + ends - (has_end ? 1 : 0);
    return CLIPC_OK;
}
