#include "base/checked.h"
#include "base/memory.h"
#include "text/pieces.h"
#include "text/unicode.h"

#include <stdbool.h>

static void point_into_block(clipc_tokenizer *tokenizer, const void *block)
{
    const uint8_t *bytes = block;
    const clipc_packed_header *header = block;
    tokenizer->header = header;
    tokenizer->added = (const clipc_packed_token *)(const void *)(bytes + header->added_place);
    tokenizer->added_text = bytes + header->text_place;
    tokenizer->merges = (const clipc_packed_merge *)(const void *)(bytes + header->merges_place);
    tokenizer->words = (const clipc_packed_word *)(const void *)(bytes + header->words_place);
    memset(tokenizer->begins_added, 0, sizeof tokenizer->begins_added);
    for (size_t i = 0; i < header->added_count; i++) {
        const clipc_packed_token *token = &tokenizer->added[i];
        tokenizer->begins_added[token->normalized & 1][tokenizer->added_text[token->text]] = 1;
    }
}

/* Does [place, place + count × size) lie, aligned to 8, in the block behind the header? */
static bool part_fits(const clipc_packed_header *header, uint64_t place, uint64_t count, size_t size)
{
    size_t bytes = 0;
    size_t end = 0;
    return place % 8 == 0 && place >= sizeof *header && clipc_multiply(count, size, &bytes) &&
           clipc_add(place, bytes, &end) && end <= header->size;
}

static bool bits_fit(uint32_t bits, uint32_t probes)
{
    return bits >= CLIPC_MIN_TABLE_BITS && bits <= CLIPC_MAX_TABLE_BITS && probes <= CLIPC_MAX_PROBES;
}

static clipc_status check_header(const clipc_packed_header *header, size_t size, const char *name,
                                 size_t vocabulary_size, clipc_error *error)
{
    CLIPC_FAIL_IF(size < sizeof *header, error, CLIPC_ERROR_TRUNCATED, "%s: %zu bytes are no packed tokenizer", name,
                  size);
    CLIPC_FAIL_IF((uintptr_t)header % 8 != 0, error, CLIPC_ERROR_ARGUMENT,
                  "%s: a packed tokenizer must be aligned to 8 bytes", name);
    CLIPC_FAIL_IF(memcmp(header->magic, CLIPC_PACKED_MAGIC, sizeof header->magic) != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: not a packed tokenizer", name);
    const bool pieces = header->version == CLIPC_PIECES_VERSION;
    const size_t header_size = pieces ? sizeof(clipc_pieces_header) : sizeof *header;
    CLIPC_FAIL_IF((header->version != CLIPC_PACKED_VERSION && !pieces) || header->header_size != header_size, error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: packed tokenizer of version %u, this clipc reads versions %u and %u",
                  name, header->version, CLIPC_PACKED_VERSION, CLIPC_PIECES_VERSION);
    CLIPC_FAIL_IF(size < header_size, error, CLIPC_ERROR_TRUNCATED, "%s: %zu bytes are no packed tokenizer", name,
                  size);
    CLIPC_FAIL_IF(header->size > size, error, CLIPC_ERROR_TRUNCATED, "%s: packed tokenizer of %llu bytes cut to %zu",
                  name, (unsigned long long)header->size, size);
    CLIPC_FAIL_IF(header->largest_id >= vocabulary_size, error, CLIPC_ERROR_FORMAT,
                  "%s: token %u is not below the vocabulary size %zu", name, header->largest_id, vocabulary_size);
    CLIPC_FAIL_IF(
        header->start_token > header->largest_id || header->end_token > header->largest_id ||
            header->added_count > CLIPC_MAX_ADDED_TOKENS || !bits_fit(header->merges_bits, header->merges_probes) ||
            !bits_fit(header->words_bits, header->words_probes) ||
            !part_fits(header, header->added_place, header->added_count, sizeof(clipc_packed_token)) ||
            !part_fits(header, header->text_place, header->text_size, 1) ||
            !part_fits(header, header->merges_place, (uint64_t)1 << header->merges_bits, sizeof(clipc_packed_merge)) ||
            !part_fits(header, header->words_place, (uint64_t)1 << header->words_bits, sizeof(clipc_packed_word)),
        error, CLIPC_ERROR_FORMAT, "%s: damaged packed tokenizer", name);
    return CLIPC_OK;
}

static clipc_status check_added(const clipc_packed_header *header, const char *name, clipc_error *error)
{
    const clipc_packed_token *added =
        (const clipc_packed_token *)(const void *)((const uint8_t *)header + header->added_place);
    const uint8_t *text = (const uint8_t *)header + header->text_place;
    const uint32_t flags =
        header->version == CLIPC_PIECES_VERSION ? 1 | CLIPC_ADDED_LEFT_STRIP | CLIPC_ADDED_RIGHT_STRIP : 1;
    for (size_t i = 0; i < header->added_count; i++)
        CLIPC_FAIL_IF(added[i].length == 0 || added[i].text > header->text_size ||
                          added[i].length > header->text_size - added[i].text || added[i].normalized > flags ||
                          added[i].id > header->largest_id ||
                          clipc_utf8_check(text + added[i].text, added[i].length) < added[i].length,
                      error, CLIPC_ERROR_FORMAT, "%s: damaged packed tokenizer (added token %zu)", name, i);
    return CLIPC_OK;
}

static clipc_status open_pieces(clipc_tokenizer *tokenizer, const char *name, clipc_error *error)
{
    tokenizer->pieces = clipc_allocate(1, sizeof *tokenizer->pieces);
    if (!tokenizer->pieces)
        return clipc_fail_memory(error, sizeof *tokenizer->pieces, "a tokenizer");
    return clipc_pieces_open(tokenizer->header, name, tokenizer->pieces, error);
}

clipc_status clipc_tokenizer_open_packed(const void *bytes, size_t size, const char *name, size_t vocabulary_size,
                                         clipc_tokenizer **out, clipc_error *error)
{
    *out = NULL;
    CLIPC_TRY(check_header(bytes, size, name, vocabulary_size, error));
    CLIPC_TRY(check_added(bytes, name, error));
    clipc_tokenizer *tokenizer = clipc_allocate(1, sizeof *tokenizer);
    if (!tokenizer)
        return clipc_fail_memory(error, sizeof *tokenizer, "a tokenizer");
    tokenizer->vocabulary_size = vocabulary_size;
    point_into_block(tokenizer, bytes);
    const clipc_status status =
        tokenizer->header->version == CLIPC_PIECES_VERSION ? open_pieces(tokenizer, name, error) : CLIPC_OK;
    if (status != CLIPC_OK)
        clipc_tokenizer_destroy(&tokenizer);
    *out = tokenizer;
    return status;
}

void clipc_tokenizer_packed(const clipc_tokenizer *tokenizer, const void **bytes, size_t *size)
{
    clipc_merge_try_words(tokenizer); /* nobody can once the block is used in place */
    *bytes = tokenizer->header;
    *size = (size_t)tokenizer->header->size;
}

void clipc_tokenizer_destroy(clipc_tokenizer **tokenizer)
{
    if (!tokenizer || !*tokenizer)
        return;
    clipc_free_aligned((*tokenizer)->heap);
    clipc_free((*tokenizer)->pieces);
    clipc_free(*tokenizer);
    *tokenizer = NULL;
}

size_t clipc_tokenizer_max_length(const clipc_tokenizer *tokenizer)
{
    const uint64_t length = tokenizer->header->max_length;
    return length > SIZE_MAX ? SIZE_MAX : (size_t)length;
}

bool clipc_tokenizer_is_of_pieces(const clipc_tokenizer *tokenizer)
{
    return tokenizer->pieces != NULL;
}

void clipc_tokenizer_get_padding(const clipc_tokenizer *tokenizer, clipc_tokenizer_padding *out)
{
    *out = (clipc_tokenizer_padding){.token = (int32_t)tokenizer->header->end_token};
    if (!tokenizer->pieces)
        return;
    const clipc_pieces_header *header = tokenizer->pieces->header;
    out->pads = (header->flags & CLIPC_PIECES_PADS) && header->pad_token != CLIPC_NO_TOKEN;
    out->left = header->flags & CLIPC_PIECES_PAD_LEFT;
    out->token = header->pad_token == CLIPC_NO_TOKEN ? -1 : (int32_t)header->pad_token;
}
