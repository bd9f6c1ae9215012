/* Lays out what version 2 adds to the packed block, and checks it when such a block is opened. */
#include "base/checked.h"
#include "base/memory.h"
#include "text/pieces.h"
#include "text/unicode.h"

#include <stdlib.h>

static int compare_pieces(const void *a, const void *b)
{
    const struct clipc_piece *left = a;
    const struct clipc_piece *right = b;
    const size_t common = left->length < right->length ? left->length : right->length;
    const int order = memcmp(left->text, right->text, common);
    return order ? order : (left->length > right->length) - (left->length < right->length);
}

static size_t common_bytes(const struct clipc_piece *a, const struct clipc_piece *b)
{
    size_t count = 0;
    while (count < a->length && count < b->length && a->text[count] == b->text[count])
        count++;
    return count;
}

size_t clipc_pieces_sort(clipc_pieces_parts *parts)
{
    size_t nodes = 1;
    if (parts->piece_count > 0)
        qsort(parts->pieces, parts->piece_count, sizeof *parts->pieces, compare_pieces);
    for (size_t i = 0; i < parts->piece_count; i++)
        nodes += parts->pieces[i].length - (i ? common_bytes(&parts->pieces[i - 1], &parts->pieces[i]) : 0);
    return nodes;
}

static uint64_t place_part(clipc_pieces_header *header, uint64_t bytes)
{
    const uint64_t place = header->base.size;
    header->base.size = clipc_round_up((size_t)(place + bytes), 8);
    return place;
}

void clipc_pieces_plan(const clipc_pieces_parts *parts, uint32_t edges_bits, clipc_pieces_header *header)
{
    const size_t steps = (size_t)parts->header.cleaning_count + parts->header.normalizer_count;
    header->edges_bits = edges_bits;
    header->steps_place = place_part(header, steps * sizeof(clipc_step));
    header->steps_text_size = parts->steps_text_size;
    header->steps_text_place = place_part(header, parts->steps_text_size);
    header->charsmap_size = parts->charsmap_size;
    header->charsmap_place = place_part(header, parts->charsmap_size);
    header->edges_place = place_part(header, ((uint64_t)1 << edges_bits) * sizeof(clipc_packed_edge));
    header->scores_place = place_part(header, parts->header.score_count * sizeof(double));
}

/* The edge, which is added if it is new; NULL when it would lie too far from its place. */
static clipc_packed_edge *add_edge(clipc_packed_edge *table, uint32_t bits, uint32_t node, uint8_t byte,
                                   uint32_t *nodes, uint32_t *probes)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    const uint32_t from = node << 8 | byte;
    uint64_t slot = clipc_packed_hash(node, byte, bits);
    uint32_t probe = 0;
    for (; table[slot].from != from; slot = (slot + 1) & mask) {
        if (table[slot].from == CLIPC_FREE_EDGE) {
            table[slot] = (clipc_packed_edge){.from = from, .to = (*nodes)++, .token = CLIPC_NO_TOKEN};
            break;
        }
        if (++probe > CLIPC_MAX_PROBES)
            return NULL;
    }
    *probes = probe > *probes ? probe : *probes;
    return &table[slot];
}

static bool fill_edges(const clipc_pieces_parts *parts, clipc_packed_edge *table, clipc_pieces_header *header)
{
    uint32_t nodes = 1;
    header->edges_probes = 0;
    for (uint64_t slot = 0; slot < (uint64_t)1 << header->edges_bits; slot++)
        table[slot] = (clipc_packed_edge){.from = CLIPC_FREE_EDGE, .token = CLIPC_NO_TOKEN};
    for (size_t i = 0; i < parts->piece_count; i++) {
        const struct clipc_piece *piece = &parts->pieces[i];
        clipc_packed_edge *edge = NULL;
        uint32_t node = CLIPC_ROOT_NODE;
        for (size_t at = 0; at < piece->length; at++) {
            edge = add_edge(table, header->edges_bits, node, (uint8_t)piece->text[at], &nodes, &header->edges_probes);
            if (!edge)
                return false;
            node = edge->to;
        }
        if (edge)
            edge->token = piece->id;
    }
    return true;
}

bool clipc_pieces_fill(const clipc_pieces_parts *parts, uint8_t *block)
{
    clipc_pieces_header *header = (clipc_pieces_header *)(void *)block;
    const size_t steps = (size_t)parts->header.cleaning_count + parts->header.normalizer_count;
    memcpy(block + header->steps_place, parts->steps, steps * sizeof *parts->steps);
    memcpy(block + header->steps_text_place, parts->steps_text, parts->steps_text_size);
    if (parts->charsmap_size)
        memcpy(block + header->charsmap_place, parts->charsmap, parts->charsmap_size);
    if (parts->header.score_count)
        memcpy(block + header->scores_place, parts->scores, parts->header.score_count * sizeof *parts->scores);
    return fill_edges(parts, (clipc_packed_edge *)(void *)(block + header->edges_place), header);
}

/* ---- opening ---- */

static bool part_fits(const clipc_pieces_header *header, uint64_t place, uint64_t count, size_t size)
{
    size_t bytes = 0;
    size_t end = 0;
    return place % 8 == 0 && place >= sizeof *header && clipc_multiply(count, size, &bytes) &&
           clipc_add(place, bytes, &end) && end <= header->base.size;
}

static bool is_token(const clipc_pieces_header *header, uint32_t token)
{
    return token == CLIPC_NO_TOKEN || token <= header->base.largest_id;
}

static bool template_is_valid(const clipc_pieces_header *header, const uint32_t *tokens, uint32_t count)
{
    bool valid = count <= CLIPC_MAX_TEMPLATE;
    for (size_t i = 0; valid && i < count; i++)
        valid = tokens[i] <= header->base.largest_id;
    return valid;
}

static bool header_is_valid(const clipc_pieces_header *header)
{
    return (header->model == CLIPC_PIECES_BPE || header->model == CLIPC_PIECES_UNIGRAM) &&
           header->prepend <= CLIPC_PREPEND_ALWAYS && is_token(header, header->unknown_token) &&
           is_token(header, header->pad_token) && template_is_valid(header, header->before, header->before_count) &&
           template_is_valid(header, header->after, header->after_count) &&
           header->cleaning_count <= CLIPC_MAX_PIECE_STEPS && header->normalizer_count <= CLIPC_MAX_PIECE_STEPS &&
           header->edges_bits >= CLIPC_MIN_TABLE_BITS && header->edges_bits <= CLIPC_MAX_TABLE_BITS &&
           header->edges_probes <= CLIPC_MAX_PROBES &&
           part_fits(header, header->steps_place, (uint64_t)header->cleaning_count + header->normalizer_count,
                     sizeof(clipc_step)) &&
           part_fits(header, header->steps_text_place, header->steps_text_size, 1) &&
           part_fits(header, header->charsmap_place, header->charsmap_size, 1) &&
           part_fits(header, header->edges_place, (uint64_t)1 << header->edges_bits, sizeof(clipc_packed_edge)) &&
           part_fits(header, header->scores_place, header->score_count, sizeof(double));
}

clipc_status clipc_pieces_open(const void *bytes, const char *name, clipc_pieces *out, clipc_error *error)
{
    const uint8_t *block = bytes;
    const clipc_pieces_header *header = bytes;
    CLIPC_FAIL_IF(!header_is_valid(header), error, CLIPC_ERROR_FORMAT, "%s: damaged packed tokenizer", name);
    const clipc_step *steps = (const clipc_step *)(const void *)(block + header->steps_place);
    const uint8_t *text = block + header->steps_text_place;
    *out = (clipc_pieces){.header = header};
    CLIPC_FAIL_IF(header->charsmap_size && !clipc_charsmap_open(block + header->charsmap_place,
                                                                (size_t)header->charsmap_size, &out->charsmap),
                  error, CLIPC_ERROR_FORMAT, "%s: damaged packed tokenizer (its precompiled_charsmap)", name);
    for (size_t i = 0; i < (size_t)header->cleaning_count + header->normalizer_count; i++)
        CLIPC_FAIL_IF(
            !clipc_step_is_valid(&steps[i], text, (size_t)header->steps_text_size, header->charsmap_size > 0), error,
            CLIPC_ERROR_FORMAT, "%s: damaged packed tokenizer (step %zu)", name, i);
    out->cleaning = (clipc_steps){.steps = steps,
                                  .count = header->cleaning_count,
                                  .text = text,
                                  .text_size = (size_t)header->steps_text_size,
                                  .charsmap = &out->charsmap};
    out->normalizer = out->cleaning;
    out->normalizer.steps = steps + header->cleaning_count;
    out->normalizer.count = header->normalizer_count;
    out->edges = (const clipc_packed_edge *)(const void *)(block + header->edges_place);
    out->scores = (const double *)(const void *)(block + header->scores_place);
    return CLIPC_OK;
}
