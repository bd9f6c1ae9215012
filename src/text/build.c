/* Lays out the packed block. */
#include "base/checked.h"
#include "base/memory.h"
#include "text/pieces.h"

#include <stdbool.h>

/* Slots for `count` entries at a load of at most two thirds. */
static uint32_t table_bits(size_t count)
{
    uint32_t bits = CLIPC_MIN_TABLE_BITS;
    while (bits < CLIPC_MAX_TABLE_BITS && ((size_t)2 << bits) < 3 * count)
        bits++;
    return bits;
}

/* Fills the table; false when an entry would lie too far from its place. */
static bool fill_merges(const clipc_packed_parts *parts, uint32_t bits, clipc_packed_merge *table, uint32_t *probes)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    *probes = 0;
    for (uint64_t slot = 0; slot <= mask; slot++)
        table[slot] = (clipc_packed_merge){.left = CLIPC_NO_TOKEN};
    for (size_t i = 0; i < parts->merge_count; i++) {
        const clipc_packed_merge *merge = &parts->merges[i];
        uint64_t slot = clipc_packed_hash(merge->left, merge->right, bits);
        uint32_t probe = 0;
        while (table[slot].left != CLIPC_NO_TOKEN &&
               (table[slot].left != merge->left || table[slot].right != merge->right)) {
            if (++probe > CLIPC_MAX_PROBES)
                return false;
            slot = (slot + 1) & mask;
        }
        table[slot] = *merge;
        if (probe > *probes)
            *probes = probe;
    }
    return true;
}

/* Adds a word that is not in the table yet. */
static void add_word(uint32_t bits, clipc_packed_word *table, uint32_t *probes, const uint64_t key[2], uint32_t id)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t slot = clipc_packed_hash(key[0], key[1], bits);
    uint32_t probe = 0;
    while (table[slot].key[1] != 0) {
        if (++probe > CLIPC_MAX_PROBES)
            return;
        slot = (slot + 1) & mask;
    }
    table[slot] = (clipc_packed_word){.key = {key[0], key[1]}, .id = id, .state = CLIPC_WORD_UNTRIED};
    if (probe > *probes)
        *probes = probe;
}

/* A word without room is left out: the table only saves time. */
static void fill_words(const clipc_packed_parts *parts, clipc_packed_word *table, uint32_t bits, uint32_t *probes)
{
    memset(table, 0, ((size_t)1 << bits) * sizeof *table);
    *probes = 0;
    for (size_t i = 0; i < parts->word_count; i++) {
        uint64_t key[2];
        clipc_packed_word_key(parts->words[i].bytes, parts->words[i].length, key);
        add_word(bits, table, probes, key, parts->words[i].id);
    }
}

static uint32_t largest_id(const clipc_packed_parts *parts, const clipc_pieces_parts *pieces)
{
    uint32_t largest = parts->start_token > parts->end_token ? parts->start_token : parts->end_token;
    for (size_t i = 0; i < parts->added_count; i++)
        largest = parts->added[i].id > largest ? parts->added[i].id : largest;
    for (size_t i = 0; i < parts->merge_count; i++)
        largest = parts->merges[i].result > largest ? parts->merges[i].result : largest;
    for (size_t i = 0; i < 512; i++) {
        const uint32_t id = parts->byte_tokens[i / 256][i % 256];
        largest = id != CLIPC_NO_TOKEN && id > largest ? id : largest;
    }
    for (size_t i = 0; pieces && i < pieces->piece_count; i++)
        largest = pieces->pieces[i].id > largest ? pieces->pieces[i].id : largest;
    return largest;
}

static uint64_t place_part(clipc_packed_header *header, uint64_t bytes)
{
    const uint64_t place = header->size;
    header->size = clipc_round_up((size_t)(place + bytes), 8);
    return place;
}

/* `out` is CLIP's header or, with pieces, the beginning of theirs. */
static void plan(const clipc_packed_parts *parts, const clipc_pieces_parts *pieces, uint32_t merges_bits,
                 clipc_packed_header *out)
{
    clipc_packed_header header = {
        .version = pieces ? CLIPC_PIECES_VERSION : CLIPC_PACKED_VERSION,
        .header_size = pieces ? sizeof(clipc_pieces_header) : sizeof header,
        .max_length = parts->max_length,
        .largest_id = largest_id(parts, pieces),
        .start_token = parts->start_token,
        .end_token = parts->end_token,
        .added_count = (uint32_t)parts->added_count,
        .merges_bits = merges_bits,
        .words_bits = table_bits(parts->word_count),
    };
    header.size = header.header_size;
    memcpy(header.magic, CLIPC_PACKED_MAGIC, sizeof header.magic);
    memcpy(header.byte_tokens, parts->byte_tokens, sizeof header.byte_tokens);
    for (size_t i = 0; i < parts->added_count; i++)
        header.text_size += parts->added[i].length;
    header.added_place = place_part(&header, parts->added_count * sizeof(clipc_packed_token));
    header.text_place = place_part(&header, header.text_size);
    header.merges_place = place_part(&header, ((uint64_t)1 << merges_bits) * sizeof(clipc_packed_merge));
    header.words_place = place_part(&header, ((uint64_t)1 << header.words_bits) * sizeof(clipc_packed_word));
    *out = header;
}

static void fill_added(const clipc_packed_parts *parts, const clipc_packed_header *header, uint8_t *block)
{
    clipc_packed_token *tokens = (clipc_packed_token *)(void *)(block + header->added_place);
    uint32_t text = 0;
    for (size_t i = 0; i < parts->added_count; i++) {
        const struct clipc_added_text *added = &parts->added[i];
        tokens[i] = (clipc_packed_token){
            .text = text, .length = added->length, .id = added->id, .normalized = added->normalized};
        memcpy(block + header->text_place + text, added->text, added->length);
        text += added->length;
    }
}

/* One try with tables of that many slots; *fits says whether they were enough. */
static clipc_status build_with(const clipc_packed_parts *parts, const clipc_pieces_parts *pieces,
                               size_t vocabulary_size, uint32_t merges_bits, uint32_t edges_bits, bool *fits,
                               clipc_tokenizer **out, clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    clipc_pieces_header planned = pieces ? pieces->header : (clipc_pieces_header){0};
    plan(parts, pieces, merges_bits, &planned.base);
    if (pieces)
        clipc_pieces_plan(pieces, edges_bits, &planned);
    const size_t size = (size_t)planned.base.size;
    CLIPC_FAIL_IF(size > parts->most_bytes, error, CLIPC_ERROR_LIMIT,
                  "tokenizer: its tables, of %zu bytes, are too much for the size of its files", size);
    uint8_t *block = clipc_allocate_aligned(size, 1);
    if (!block)
        return clipc_fail_memory(error, size, "a tokenizer");
    memset(block, 0, pieces ? size : (size_t)planned.base.merges_place);
    memcpy(block, &planned, planned.base.header_size);
    clipc_packed_header *header = (clipc_packed_header *)(void *)block;
    fill_added(parts, header, block);
    *fits = fill_merges(parts, merges_bits, (clipc_packed_merge *)(void *)(block + header->merges_place),
                        &header->merges_probes) &&
            (!pieces || clipc_pieces_fill(pieces, block));
    if (*fits) {
        CLIPC_CHECK(clipc_tokenizer_open_packed(block, size, "tokenizer", vocabulary_size, out, error));
        (*out)->heap = block;
        (*out)->own_words = (clipc_packed_word *)(void *)(block + header->words_place);
        fill_words(parts, (*out)->own_words, header->words_bits, &header->words_probes);
        return CLIPC_OK;
    }
fail:
    clipc_free_aligned(block);
    return status;
}

clipc_status clipc_packed_build(const clipc_packed_parts *parts, clipc_pieces_parts *pieces, size_t vocabulary_size,
                                clipc_tokenizer **out, clipc_error *error)
{
    *out = NULL;
    const uint32_t merges = table_bits(parts->merge_count);
    const size_t nodes = pieces ? clipc_pieces_sort(pieces) : 0;
    const uint32_t edges = table_bits(nodes);
    CLIPC_FAIL_IF(nodes >= CLIPC_MAX_NODES, error, CLIPC_ERROR_LIMIT, "tokenizer: its tokens are too many bytes");
    for (uint32_t more = 0; more <= 3 && merges + more <= CLIPC_MAX_TABLE_BITS && edges + more <= CLIPC_MAX_TABLE_BITS;
         more++) {
        bool fits = false;
        CLIPC_TRY(build_with(parts, pieces, vocabulary_size, merges + more, edges + more, &fits, out, error));
        if (fits)
            return CLIPC_OK;
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "tokenizer: its %zu merges and %zu nodes fit no table",
                      parts->merge_count, nodes);
}
