/* From the packed block back to files: a token's text is its byte's letter, or the texts of the two that were merged.
 */
#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include "text/tokenizer_build.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>

/* No vocabulary comes near; merges of merges could double a text each time. */
#define MAX_TEXT   ((size_t)64 << 20)
#define FIRST_LINE "#version: 0.2\n"

struct piece {
    size_t begin; /* in the pool */
    size_t length;
    bool known;
};

typedef struct writer {
    const clipc_tokenizer *tokenizer;
    struct piece *pieces; /* by id */
    size_t count;
    char *pool;
    size_t used;
    size_t capacity;
    const clipc_packed_merge **merges; /* by rank */
    size_t merge_count;
    clipc_error *error;
} writer;

static clipc_status fail_kind(const writer *it)
{
    return clipc_fail(it->error, CLIPC_ERROR_UNSUPPORTED,
                      "the packed tokenizer cannot be written as vocab.json and merges.txt: convert the model that it "
                      "came from");
}

static clipc_status append(writer *it, const char *text, size_t length)
{
    if (length > MAX_TEXT - it->used)
        return fail_kind(it);
    if (it->capacity - it->used < length) {
        const size_t capacity = clipc_max(2 * it->capacity, it->used + length + 4096);
        char *larger = clipc_reallocate(it->pool, capacity, 1);
        if (!larger)
            return clipc_fail_memory(it->error, capacity, "the texts of tokens");
        it->pool = larger;
        it->capacity = capacity;
    }
    memcpy(it->pool + it->used, text, length);
    it->used += length;
    return CLIPC_OK;
}

/* Begins the text of a token; false when it has one. */
static bool begin_piece(writer *it, uint32_t id)
{
    if (id >= it->count || it->pieces[id].known)
        return false;
    it->pieces[id] = (struct piece){.begin = it->used, .known = true};
    return true;
}

static clipc_status add_text(writer *it, uint32_t id, const char *text, size_t length)
{
    if (!begin_piece(it, id))
        return CLIPC_OK;
    it->pieces[id].length = length;
    return append(it, text, length);
}

/* Before anything else, as a byte without a token of its own has that of the unknown token. */
static clipc_status add_added(writer *it)
{
    const clipc_tokenizer *from = it->tokenizer;
    for (size_t i = 0; i < from->header->added_count; i++) {
        const clipc_packed_token *token = &from->added[i];
        CLIPC_TRY(add_text(it, token->id, (const char *)from->added_text + token->text, token->length));
    }
    return CLIPC_OK;
}

static clipc_status add_bytes(writer *it)
{
    for (unsigned last = 0; last < 2; last++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[4 + sizeof CLIPC_WORD_END];
            const size_t length = clipc_utf8_write(clipc_byte_letter(byte), (uint8_t *)text);
            memcpy(text + length, CLIPC_WORD_END, sizeof CLIPC_WORD_END);
            CLIPC_TRY(add_text(it, it->tokenizer->header->byte_tokens[last][byte], text,
                               length + (last ? sizeof CLIPC_WORD_END - 1 : 0)));
        }
    }
    return CLIPC_OK;
}

static int compare_ranks(const void *a, const void *b)
{
    const uint32_t left = (*(const clipc_packed_merge *const *)a)->rank;
    const uint32_t right = (*(const clipc_packed_merge *const *)b)->rank;
    return (left > right) - (left < right);
}

static clipc_status sort_merges(writer *it)
{
    const size_t slots = (size_t)1 << it->tokenizer->header->merges_bits;
    it->merges = clipc_allocate(slots, sizeof *it->merges);
    if (!it->merges)
        return clipc_fail_memory(it->error, slots * sizeof *it->merges, "a list of merges");
    for (size_t i = 0; i < slots; i++)
        if (it->tokenizer->merges[i].left != CLIPC_NO_TOKEN)
            it->merges[it->merge_count++] = &it->tokenizer->merges[i];
    qsort(it->merges, it->merge_count, sizeof *it->merges, compare_ranks);
    return CLIPC_OK;
}

static const struct piece *piece_of(const writer *it, uint32_t id)
{
    return id < it->count && it->pieces[id].known ? &it->pieces[id] : NULL;
}

/* Copies the text of a token to the end of the pool. */
static clipc_status append_piece(writer *it, uint32_t id)
{
    const struct piece *piece = piece_of(it, id);
    if (!piece)
        return fail_kind(it);
    char *copy = clipc_allocate(piece->length + 1, 1); /* the pool may move */
    if (!copy)
        return clipc_fail_memory(it->error, piece->length + 1, "the text of a token");
    memcpy(copy, it->pool + piece->begin, piece->length);
    const clipc_status status = append(it, copy, piece->length);
    clipc_free(copy);
    return status;
}

static clipc_status add_merges(writer *it)
{
    for (size_t i = 0; i < it->merge_count; i++) {
        const clipc_packed_merge *merge = it->merges[i];
        if (!begin_piece(it, merge->result))
            continue;
        const size_t begin = it->used;
        CLIPC_TRY(append_piece(it, merge->left));
        CLIPC_TRY(append_piece(it, merge->right));
        it->pieces[merge->result].length = it->used - begin;
    }
    return CLIPC_OK;
}

/* ---- the three files ---- */

/* Tokens that are used by name, and texts that JSON can hold. */
static clipc_status check_texts(const writer *it)
{
    const clipc_packed_header *header = it->tokenizer->header;
    bool good = piece_of(it, header->start_token) && piece_of(it, header->end_token);
    for (size_t id = 0; id < it->count; id++) {
        const struct piece *piece = &it->pieces[id];
        const uint8_t *text = (const uint8_t *)it->pool + piece->begin;
        good = good && (!piece->known || clipc_utf8_check(text, piece->length) == piece->length) &&
               (!piece->length || !memchr(text, 0, piece->length));
    }
    return good ? CLIPC_OK : fail_kind(it);
}

static clipc_status write_vocab(writer *it, char **out)
{
    json_t *root = json_object();
    for (size_t id = 0; root && id < it->count; id++) {
        const struct piece *piece = &it->pieces[id];
        if (piece->known &&
            json_object_setn_new(root, it->pool + piece->begin, piece->length, json_integer((json_int_t)id)) != 0) {
            json_decref(root);
            root = NULL;
        }
    }
    *out = clipc_json_write(root);
    return *out ? CLIPC_OK : clipc_fail_memory(it->error, it->used, "a vocabulary as text");
}

/* The pool's end is where the lines are put together. */
static clipc_status write_merges(writer *it, char **out)
{
    const size_t begin = it->used;
    CLIPC_TRY(append(it, FIRST_LINE, sizeof FIRST_LINE - 1));
    for (size_t i = 0; i < it->merge_count; i++) {
        CLIPC_TRY(append_piece(it, it->merges[i]->left));
        CLIPC_TRY(append(it, " ", 1));
        CLIPC_TRY(append_piece(it, it->merges[i]->right));
        CLIPC_TRY(append(it, "\n", 1));
    }
    CLIPC_TRY(append(it, "", 1));
    *out = clipc_duplicate_text(it->pool + begin);
    return *out ? CLIPC_OK : clipc_fail_memory(it->error, it->used - begin, "merges as text");
}

static json_t *text_of(const writer *it, uint32_t id)
{
    return json_stringn(it->pool + it->pieces[id].begin, it->pieces[id].length);
}

static json_t *decoder_of(const writer *it)
{
    json_t *decoder = json_object();
    for (size_t i = 0; i < it->tokenizer->header->added_count; i++) {
        const clipc_packed_token *token = &it->tokenizer->added[i];
        char id[16];
        snprintf(id, sizeof id, "%u", token->id);
        json_t *entry = json_pack("{s:o, s:b, s:b, s:b, s:b, s:b}", "content", text_of(it, token->id), "lstrip", 0,
                                  "normalized", (int)token->normalized, "rstrip", 0, "single_word", 0, "special", 1);
        if (json_object_set_new(decoder, id, entry) != 0) {
            json_decref(decoder);
            return NULL;
        }
    }
    return decoder;
}

/* The unknown token is the end token, as in every CLIP. */
static clipc_status write_config(writer *it, size_t max_length, char **out)
{
    const clipc_packed_header *header = it->tokenizer->header;
    json_t *root = json_pack("{s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "tokenizer_class", "CLIPTokenizer",
                             "do_lower_case", 1, "bos_token", text_of(it, header->start_token), "eos_token",
                             text_of(it, header->end_token), "unk_token", text_of(it, header->end_token), "pad_token",
                             text_of(it, header->end_token), "added_tokens_decoder", decoder_of(it));
    if (root && max_length < ((size_t)1 << 31) &&
        json_object_set_new(root, "model_max_length", json_integer((json_int_t)max_length)) != 0) {
        json_decref(root);
        root = NULL;
    }
    *out = clipc_json_write(root);
    return *out ? CLIPC_OK : clipc_fail_memory(it->error, 1024, "a tokenizer's config as text");
}

/* ---- the proof ---- */

/* All but the length and the table of whole words, which only saves time. */
static bool same(const clipc_tokenizer *a, const clipc_tokenizer *b)
{
    const clipc_packed_header *left = a->header;
    const clipc_packed_header *right = b->header;
    return left->start_token == right->start_token && left->end_token == right->end_token &&
           left->added_count == right->added_count && left->text_size == right->text_size &&
           left->merges_bits == right->merges_bits &&
           memcmp(left->byte_tokens, right->byte_tokens, sizeof left->byte_tokens) == 0 &&
           memcmp(a->added, b->added, left->added_count * sizeof *a->added) == 0 &&
           memcmp(a->added_text, b->added_text, left->text_size) == 0 &&
           memcmp(a->merges, b->merges, sizeof *a->merges << left->merges_bits) == 0;
}

static clipc_tokenizer_file view(const char *text, const char *name)
{
    return (clipc_tokenizer_file){.bytes = text, .size = strlen(text), .name = name};
}

static clipc_status compare(const writer *it, const clipc_tokenizer_texts *texts)
{
    clipc_tokenizer *again = NULL;
    const clipc_tokenizer_files files = {.vocab = view(texts->vocab, "vocab.json"),
                                         .merges = view(texts->merges, "merges.txt"),
                                         .tokenizer_config = view(texts->config, "tokenizer_config.json")};
    const clipc_status status = clipc_tokenizer_create(&files, it->tokenizer->vocabulary_size, &again, it->error);
    const bool equal = status == CLIPC_OK && same(it->tokenizer, again);
    clipc_tokenizer_destroy(&again);
    return equal ? CLIPC_OK : status == CLIPC_ERROR_MEMORY ? status : fail_kind(it);
}

static clipc_status write_all(writer *it, size_t max_length, clipc_tokenizer_texts *out)
{
    it->count = (size_t)it->tokenizer->header->largest_id + 1;
    it->pieces = clipc_allocate(it->count, sizeof *it->pieces);
    if (!it->pieces)
        return clipc_fail_memory(it->error, it->count * sizeof *it->pieces, "the texts of tokens");
    CLIPC_TRY(add_added(it));
    CLIPC_TRY(add_bytes(it));
    CLIPC_TRY(sort_merges(it));
    CLIPC_TRY(add_merges(it));
    CLIPC_TRY(check_texts(it));
    CLIPC_TRY(write_vocab(it, &out->vocab));
    CLIPC_TRY(write_config(it, max_length, &out->config));
    CLIPC_TRY(write_merges(it, &out->merges));
    return compare(it, out);
}

clipc_status clipc_tokenizer_write(const clipc_tokenizer *tokenizer, size_t max_length, clipc_tokenizer_texts *out,
                                   clipc_error *error)
{
    writer it = {.tokenizer = tokenizer, .error = error};
    *out = (clipc_tokenizer_texts){0};
    const clipc_status status = write_all(&it, max_length, out);
    clipc_free(it.pieces);
    clipc_free(it.pool);
    clipc_free(it.merges);
    if (status != CLIPC_OK)
        clipc_tokenizer_texts_free(out);
    return status;
}

void clipc_tokenizer_texts_free(clipc_tokenizer_texts *texts)
{
    clipc_free(texts->vocab);
    clipc_free(texts->merges);
    clipc_free(texts->config);
    *texts = (clipc_tokenizer_texts){0};
}
