#include "text/byte_pair.h"

#include "base/memory.h"
#include "text/pieces.h"

#include <stdbool.h>

/* Up to this many symbols the next merge is found by looking at all of them. */
#define SHORT_WORD ((size_t)96)
#define NO_RANK    UINT32_MAX

clipc_status clipc_token_sink_add(clipc_token_sink *sink, const clipc_tokenizer *tokenizer, uint32_t id,
                                  clipc_error *error)
{
    CLIPC_FAIL_IF(id >= tokenizer->vocabulary_size, error, CLIPC_ERROR_FORMAT,
                  "tokenizer: damaged, token %u is not below the vocabulary size %zu", id, tokenizer->vocabulary_size);
    if (sink->count < sink->limit)
        sink->ids[sink->count++] = (int32_t)id;
    return CLIPC_OK;
}

/* The symbols a word starts as: one token a byte, where there is one. */
static size_t first_symbols(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length, uint32_t *symbols)
{
    if (tokenizer->pieces)
        return clipc_pieces_symbols(tokenizer, bytes, length, symbols);
    size_t count = 0;
    for (size_t i = 0; i < length; i++) {
        const uint32_t symbol = tokenizer->header->byte_tokens[i + 1 == length][bytes[i]];
        symbols[count] = symbol;
        count += symbol != CLIPC_NO_TOKEN;
    }
    return count;
}

static uint32_t pair_rank(const clipc_tokenizer *tokenizer, uint32_t left, uint32_t right, uint32_t *result)
{
    const clipc_packed_merge *merge = clipc_packed_find_merge(tokenizer, left, right);
    if (!merge)
        return NO_RANK;
    *result = merge->result;
    return merge->rank;
}

/* Again and again the leftmost pair of the lowest rank, until no pair has one. */
static size_t merge_short(const clipc_tokenizer *tokenizer, uint32_t *symbols, size_t count)
{
    uint32_t ranks[SHORT_WORD];
    uint32_t results[SHORT_WORD];
    for (size_t i = 0; i + 1 < count; i++)
        ranks[i] = pair_rank(tokenizer, symbols[i], symbols[i + 1], &results[i]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        symbols[best] = results[best];
        count--;
        const size_t moved = count - best - 1;
        memmove(symbols + best + 1, symbols + best + 2, moved * sizeof *symbols);
        memmove(ranks + best + 1, ranks + best + 2, (moved ? moved - 1 : 0) * sizeof *ranks);
        memmove(results + best + 1, results + best + 2, (moved ? moved - 1 : 0) * sizeof *results);
        if (best + 1 < count)
            ranks[best] = pair_rank(tokenizer, symbols[best], symbols[best + 1], &results[best]);
        if (best > 0)
            ranks[best - 1] = pair_rank(tokenizer, symbols[best - 1], symbols[best], &results[best - 1]);
    }
    return count;
}

/* A long word: the symbols as a linked list, the candidate merges in a heap. A candidate whose symbols have changed
 * since is recognised as it is taken, by what its pair would become now. */
typedef struct linked_symbol {
    uint32_t token;
    uint32_t next; /* index; the symbol count past the last */
    uint32_t previous;
    bool removed;
} linked_symbol;

typedef struct candidate {
    uint32_t rank;
    uint32_t place;
    uint32_t result;
} candidate;

typedef struct merge_queue {
    candidate *items;
    size_t count;
} merge_queue;

static bool before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void queue_add(merge_queue *queue, candidate added)
{
    size_t at = queue->count++;
    while (at > 0) {
        const size_t parent = (at - 1) / 2;
        if (!before(&added, &queue->items[parent]))
            break;
        queue->items[at] = queue->items[parent];
        at = parent;
    }
    queue->items[at] = added;
}

static candidate queue_take(merge_queue *queue)
{
    const candidate first = queue->items[0];
    const candidate last = queue->items[--queue->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= queue->count)
            break;
        if (child + 1 < queue->count && before(&queue->items[child + 1], &queue->items[child]))
            child++;
        if (!before(&queue->items[child], &last))
            break;
        queue->items[at] = queue->items[child];
        at = child;
    }
    queue->items[at] = last;
    return first;
}

static void queue_pair(merge_queue *queue, const clipc_tokenizer *tokenizer, const linked_symbol *symbols,
                       uint32_t place, uint32_t count)
{
    const uint32_t next = symbols[place].next;
    if (next >= count)
        return;
    candidate added = {.place = place};
    added.rank = pair_rank(tokenizer, symbols[place].token, symbols[next].token, &added.result);
    if (added.rank != NO_RANK)
        queue_add(queue, added);
}

static void merge_linked(const clipc_tokenizer *tokenizer, linked_symbol *symbols, uint32_t count, merge_queue *queue)
{
    for (uint32_t i = 0; i < count; i++)
        queue_pair(queue, tokenizer, symbols, i, count);
    while (queue->count > 0) {
        const candidate top = queue_take(queue);
        linked_symbol *left = &symbols[top.place];
        if (left->removed || left->next >= count)
            continue;
        linked_symbol *right = &symbols[left->next];
        uint32_t result = 0;
        if (pair_rank(tokenizer, left->token, right->token, &result) == NO_RANK || result != top.result)
            continue;
        left->token = result;
        left->next = right->next;
        right->removed = true;
        if (left->next < count)
            symbols[left->next].previous = top.place;
        if (left->previous < count)
            queue_pair(queue, tokenizer, symbols, left->previous, count);
        queue_pair(queue, tokenizer, symbols, top.place, count);
    }
}

static clipc_status merge_long(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                               clipc_token_sink *sink, clipc_error *error)
{
    CLIPC_FAIL_IF(length >= UINT32_MAX / 4, error, CLIPC_ERROR_LIMIT, "a word of %zu bytes is too long", length);
    clipc_status status = CLIPC_OK;
    uint32_t *tokens = clipc_allocate(length, sizeof *tokens);
    linked_symbol *symbols = clipc_allocate(length, sizeof *symbols);
    /* Every pair of the start, and two more for each of at most length - 1 merges. */
    merge_queue queue = {.items = clipc_allocate(3 * length, sizeof *queue.items)};
    if (!tokens || !symbols || !queue.items) {
        status = clipc_fail_memory(error, length * (sizeof *tokens + sizeof *symbols + 3 * sizeof *queue.items),
                                   "a long word");
        goto fail;
    }
    const uint32_t count = (uint32_t)first_symbols(tokenizer, bytes, length, tokens);
    for (uint32_t i = 0; i < count; i++)
        symbols[i] = (linked_symbol){.token = tokens[i], .next = i + 1, .previous = i - 1};
    merge_linked(tokenizer, symbols, count, &queue);
    for (uint32_t i = 0; i < count && sink->count < sink->limit; i = symbols[i].next)
        CLIPC_CHECK(clipc_token_sink_add(sink, tokenizer, symbols[i].token, error));
fail:
    clipc_free(tokens);
    clipc_free(symbols);
    clipc_free(queue.items);
    return status;
}

clipc_status clipc_merge_bytes(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                               clipc_token_sink *sink, clipc_error *error)
{
    if (tokenizer->pieces && tokenizer->pieces->header->model == CLIPC_PIECES_UNIGRAM)
        return clipc_unigram_word(tokenizer, bytes, length, sink, error);
    if (length > SHORT_WORD)
        return merge_long(tokenizer, bytes, length, sink, error);
    uint32_t symbols[SHORT_WORD];
    const size_t count = merge_short(tokenizer, symbols, first_symbols(tokenizer, bytes, length, symbols));
    for (size_t i = 0; i < count; i++)
        CLIPC_TRY(clipc_token_sink_add(sink, tokenizer, symbols[i], error));
    return CLIPC_OK;
}

/* Whether merging makes exactly that token of the word. A block that is used in place cannot remember the answer. */
static bool is_one_token(const clipc_tokenizer *tokenizer, const clipc_packed_word *word, const uint8_t *bytes,
                         size_t length)
{
    uint32_t state = atomic_load_explicit(&word->state, memory_order_relaxed);
    if (state == CLIPC_WORD_UNTRIED) {
        int32_t ids[2];
        clipc_token_sink sink = {.ids = ids, .limit = 2};
        const bool is_token = clipc_merge_bytes(tokenizer, bytes, length, &sink, NULL) == CLIPC_OK &&
                              sink.count == 1 && (uint32_t)ids[0] == word->id;
        state = is_token ? CLIPC_WORD_IS_TOKEN : CLIPC_WORD_IS_NONE;
        if (tokenizer->own_words)
            atomic_store_explicit(&tokenizer->own_words[word - tokenizer->words].state, state, memory_order_relaxed);
    }
    return state == CLIPC_WORD_IS_TOKEN;
}

clipc_status clipc_merge_word(const clipc_tokenizer *tokenizer, const uint8_t *bytes, size_t length,
                              clipc_token_sink *sink, clipc_error *error)
{
    if (length <= CLIPC_WORD_BYTES) {
        uint64_t key[2];
        clipc_packed_word_key(bytes, length, key);
        const clipc_packed_word *word = clipc_packed_find_word(tokenizer, key);
        if (word && is_one_token(tokenizer, word, bytes, length))
            return clipc_token_sink_add(sink, tokenizer, word->id, error);
    }
    return clipc_merge_bytes(tokenizer, bytes, length, sink, error);
}

void clipc_merge_try_words(const clipc_tokenizer *tokenizer)
{
    const size_t slots = tokenizer->own_words ? (size_t)1 << tokenizer->header->words_bits : 0;
    for (size_t i = 0; i < slots; i++) {
        const clipc_packed_word *word = &tokenizer->words[i];
        uint8_t bytes[sizeof word->key];
        memcpy(bytes, word->key, sizeof bytes);
        const size_t length = bytes[CLIPC_WORD_BYTES];
        if (length)
            is_one_token(tokenizer, word, bytes, length);
    }
}
