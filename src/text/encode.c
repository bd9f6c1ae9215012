/* Text to ids: sections between added tokens, fields between white space, words. */
#include "text/ascii.h"
#include "text/byte_pair.h"
#include "text/normalize.h"
#include "text/pieces.h"

typedef struct text_encoder {
    const clipc_tokenizer *tokenizer;
    clipc_token_sink sink;
    clipc_field_reader reader;
} text_encoder;

static bool is_full(const text_encoder *encoder)
{
    return encoder->sink.count == encoder->sink.limit;
}

/* The longest added token of that kind that `bytes` begins with, or NULL. */
static const clipc_packed_token *find_added(const clipc_tokenizer *tokenizer, uint32_t normalized,
                                            const uint8_t *bytes, size_t left)
{
    const clipc_packed_token *best = NULL;
    for (size_t i = 0; i < tokenizer->header->added_count; i++) {
        const clipc_packed_token *token = &tokenizer->added[i];
        if (token->normalized == normalized && token->length <= left && (!best || token->length > best->length) &&
            memcmp(tokenizer->added_text + token->text, bytes, token->length) == 0)
            best = token;
    }
    return best;
}

/* The first place from `at` on where an added token of that kind begins; `length` when there is none. */
static size_t next_added(const clipc_tokenizer *tokenizer, uint32_t normalized, const uint8_t *bytes, size_t at,
                         size_t length, const clipc_packed_token **token)
{
    const uint8_t *begins = tokenizer->begins_added[normalized];
    for (; at < length; at++) {
        if (!begins[bytes[at]])
            continue;
        *token = find_added(tokenizer, normalized, bytes + at, length - at);
        if (*token)
            return at;
    }
    *token = NULL;
    return length;
}

/* Bytes of the English contraction that `bytes` (at an apostrophe) begins with, or 0. */
static size_t contraction_length(const uint8_t *bytes, size_t left)
{
    if (left >= 2 && (bytes[1] == 's' || bytes[1] == 't' || bytes[1] == 'm' || bytes[1] == 'd'))
        return 2;
    if (left >= 3 && ((bytes[1] == 'r' && bytes[2] == 'e') || (bytes[1] == 'v' && bytes[2] == 'e') ||
                      (bytes[1] == 'l' && bytes[2] == 'l')))
        return 3;
    return 0;
}

/* Bytes of the name inside a special token that `bytes` begins with, or 0. Such a string that was not taken as a token
 * (it was written in capitals) still is one piece of the first splitting; the second cuts it at its brackets. */
static size_t special_name_length(const uint8_t *bytes, size_t left)
{
    static const char start[] = "<|startoftext|>";
    static const char end[] = "<|endoftext|>";
    if (left >= sizeof start - 1 && memcmp(bytes, start, sizeof start - 1) == 0)
        return sizeof start - 5;
    if (left >= sizeof end - 1 && memcmp(bytes, end, sizeof end - 1) == 0)
        return sizeof end - 5;
    return 0;
}

/* The class of the character at `bytes` and, in *length, its bytes. */
static int class_at(const uint8_t *bytes, size_t *length)
{
    *length = 1;
    if (bytes[0] < 0x80)
        return clipc_ascii_class[bytes[0]];
    int32_t code_point = 0;
    *length = clipc_utf8_read(bytes, &code_point);
    switch (clipc_code_classify(code_point)) {
    case CLIPC_CODE_LETTER: return CLIPC_ASCII_LETTER;
    case CLIPC_CODE_NUMBER: return CLIPC_ASCII_NUMBER;
    case CLIPC_CODE_SPACE:
    case CLIPC_CODE_OTHER: break;
    }
    return CLIPC_ASCII_OTHER;
}

/* Bytes of the word that `bytes` (`left` ≥ 1) begins with: letters, one number, or what is neither. */
static size_t word_length(const uint8_t *bytes, size_t left)
{
    size_t step = 0;
    const int class = class_at(bytes, &step);
    size_t length = step;
    if (class == CLIPC_ASCII_NUMBER)
        return length;
    while (length < left && class_at(bytes + length, &step) == class)
        length += step;
    return length;
}

/* CLIP's splitting, `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
 * followed by GPT-2's, which the byte-level step applies and which changes only the first two alternatives. */
static clipc_status encode_words(text_encoder *encoder, const uint8_t *bytes, size_t length, clipc_error *error)
{
    for (size_t at = 0; at < length && !is_full(encoder);) {
        const uint8_t *word = bytes + at;
        const size_t left = length - at;
        size_t count = 0;
        if (word[0] == '\'')
            count = contraction_length(word, left);
        else if (word[0] == '<' && (count = special_name_length(word, left)) > 0) {
            CLIPC_TRY(clipc_merge_word(encoder->tokenizer, word, 2, &encoder->sink, error));
            CLIPC_TRY(clipc_merge_word(encoder->tokenizer, word + 2, count, &encoder->sink, error));
            CLIPC_TRY(clipc_merge_word(encoder->tokenizer, word + 2 + count, 2, &encoder->sink, error));
            at += count + 4;
            continue;
        }
        if (count == 0)
            count = word_length(word, left);
        CLIPC_TRY(clipc_merge_word(encoder->tokenizer, word, count, &encoder->sink, error));
        at += count;
    }
    return CLIPC_OK;
}

/* One field, with the added tokens that are looked for after normalising. */
static clipc_status encode_field(text_encoder *encoder, const uint8_t *bytes, size_t length, clipc_error *error)
{
    for (size_t at = 0; at < length && !is_full(encoder);) {
        const clipc_packed_token *token = NULL;
        const size_t end = next_added(encoder->tokenizer, 1, bytes, at, length, &token);
        CLIPC_TRY(encode_words(encoder, bytes + at, end - at, error));
        at = end;
        if (token) {
            CLIPC_TRY(clipc_token_sink_add(&encoder->sink, encoder->tokenizer, token->id, error));
            at += token->length;
        }
    }
    return CLIPC_OK;
}

static clipc_status encode_text(text_encoder *encoder, const uint8_t *text, size_t length, clipc_error *error)
{
    for (size_t at = 0; at < length && !is_full(encoder);) {
        const clipc_packed_token *token = NULL;
        const size_t end = next_added(encoder->tokenizer, 0, text, at, length, &token);
        clipc_field_reader_open(&encoder->reader, text + at, end - at);
        while (!is_full(encoder)) {
            CLIPC_TRY(clipc_field_reader_next(&encoder->reader, error));
            if (encoder->reader.count == 0)
                break;
            CLIPC_TRY(encode_field(encoder, encoder->reader.bytes, encoder->reader.count, error));
        }
        at = end;
        if (token) {
            CLIPC_TRY(clipc_token_sink_add(&encoder->sink, encoder->tokenizer, token->id, error));
            at += token->length;
        }
    }
    return CLIPC_OK;
}

static clipc_status encode_clip(const clipc_tokenizer *tokenizer, const uint8_t *text, size_t length, size_t limit,
                                int32_t *ids, size_t *count, clipc_error *error)
{
    CLIPC_FAIL_IF(limit < 2, error, CLIPC_ERROR_ARGUMENT,
                  "a limit of %zu tokens leaves no room for start and end token", limit);
    text_encoder encoder;
    encoder.tokenizer = tokenizer;
    encoder.sink = (clipc_token_sink){.ids = ids + 1, .limit = limit - 2};
    clipc_field_reader_init(&encoder.reader);
    const clipc_status status = encode_text(&encoder, text, length, error);
    clipc_field_reader_finish(&encoder.reader);
    CLIPC_TRY(status);
    ids[0] = (int32_t)tokenizer->header->start_token;
    ids[encoder.sink.count + 1] = (int32_t)tokenizer->header->end_token;
    *count = encoder.sink.count + 2;
    return CLIPC_OK;
}

clipc_status clipc_tokenizer_encode(const clipc_tokenizer *tokenizer, const char *text, size_t length, size_t limit,
                                    int32_t *ids, size_t *count, clipc_error *error)
{
    const uint8_t *bytes = (const uint8_t *)text;
    const size_t valid = clipc_utf8_check(bytes, length);
    CLIPC_FAIL_IF(valid < length, error, CLIPC_ERROR_FORMAT, "the text is not UTF-8 at byte %zu", valid);
    if (tokenizer->pieces)
        return clipc_pieces_encode(tokenizer, bytes, length, limit, ids, count, error);
    return encode_clip(tokenizer, bytes, length, limit, ids, count, error);
}

clipc_status clipc_tokenizer_encode_padded(const clipc_tokenizer *tokenizer, const char *text, size_t length,
                                           size_t context, int32_t *ids, clipc_error *error)
{
    clipc_tokenizer_padding padding;
    size_t count = 0;
    clipc_tokenizer_get_padding(tokenizer, &padding);
    CLIPC_FAIL_IF(padding.token < 0, error, CLIPC_ERROR_UNSUPPORTED, "the tokenizer names no token to pad with");
    CLIPC_TRY(clipc_tokenizer_encode(tokenizer, text, length, context, ids, &count, error));
    const size_t added = context - count;
    if (padding.left)
        memmove(ids + added, ids, count * sizeof *ids);
    for (size_t i = 0; i < added; i++)
        ids[padding.left ? i : count + i] = padding.token;
    return CLIPC_OK;
}
