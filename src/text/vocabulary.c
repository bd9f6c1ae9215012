#include "text/vocabulary.h"

#include "base/checked.h"
#include "base/memory.h"
#include "text/tokenizer_build.h"

/* An honest table has no walk near this long at half load; a file made to collide is refused. */
#define MAX_WALK ((size_t)1024)

static uint64_t load(const char *text, size_t length)
{
    uint64_t value = 0;
    memcpy(&value, text, length);
    return value;
}

/* Eight bytes at a time; the last eight may overlap. The table's address makes it different in every process. */
static uint64_t hash_text(const clipc_vocabulary *vocabulary, const char *text, size_t length)
{
    uint64_t hash = (uint64_t)(uintptr_t)vocabulary->slots ^ length * 0x9E3779B97F4A7C15U;
    for (size_t at = 0; at + 8 < length; at += 8) {
        hash = (hash ^ load(text + at, 8)) * 0xBF58476D1CE4E5B9U;
        hash ^= hash >> 31;
    }
    if (length >= 8)
        hash ^= load(text + length - 8, 8);
    else if (length >= 4)
        hash ^= load(text, 4) | load(text + length - 4, 4) << 32;
    else if (length > 0)
        hash ^= (uint64_t)(uint8_t)text[0] | (uint64_t)(uint8_t)text[length / 2] << 8 |
                (uint64_t)(uint8_t)text[length - 1] << 16;
    hash *= 0x94D049BB133111EBU;
    return (hash ^ (hash >> 29)) * 0x9E3779B97F4A7C15U;
}

static bool entry_is(const clipc_vocabulary_entry *entry, const char *text, size_t length)
{
    return entry->length == length && memcmp(entry->text, text, length) == 0;
}

/* The slot of that text, or the free one where it belongs; NULL after too long a walk. */
static struct clipc_vocabulary_slot *find_slot(const clipc_vocabulary *vocabulary, const char *text, size_t length,
                                               uint32_t *tag)
{
    const uint64_t hash = hash_text(vocabulary, text, length);
    const size_t mask = ((size_t)1 << vocabulary->bits) - 1;
    size_t place = hash >> (64 - vocabulary->bits);
    *tag = (uint32_t)hash;
    for (size_t walk = 0; walk < MAX_WALK; walk++) {
        struct clipc_vocabulary_slot *slot = &vocabulary->slots[place];
        if (!slot->number)
            return slot;
        if (slot->tag == *tag && entry_is(&vocabulary->entries[slot->number - 1], text, length))
            return slot;
        place = (place + 1) & mask;
    }
    return NULL;
}

clipc_status clipc_vocabulary_reserve(clipc_vocabulary *vocabulary, size_t most, clipc_error *error)
{
    vocabulary->entries = clipc_allocate(most, sizeof *vocabulary->entries);
    if (!vocabulary->entries)
        return clipc_fail_memory(error, most * sizeof *vocabulary->entries, "a vocabulary");
    return CLIPC_OK;
}

clipc_status clipc_vocabulary_index(clipc_vocabulary *vocabulary, bool *distinct, clipc_error *error)
{
    *distinct = false;
    vocabulary->bits = CLIPC_MIN_TABLE_BITS;
    while ((size_t)1 << vocabulary->bits < 2 * vocabulary->count)
        vocabulary->bits++;
    vocabulary->slots = clipc_allocate((size_t)1 << vocabulary->bits, sizeof *vocabulary->slots);
    if (!vocabulary->slots)
        return clipc_fail_memory(error, sizeof *vocabulary->slots << vocabulary->bits, "a vocabulary");
    for (size_t i = 0; i < vocabulary->count; i++) {
        uint32_t tag = 0;
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        struct clipc_vocabulary_slot *slot = find_slot(vocabulary, entry->text, entry->length, &tag);
        if (!slot || slot->number)
            return CLIPC_OK;
        *slot = (struct clipc_vocabulary_slot){.tag = tag, .number = (uint32_t)i + 1};
    }
    *distinct = true;
    return CLIPC_OK;
}

/* The entries and the closing brace. */
static bool read_entries(clipc_quick_json *reader, size_t most, clipc_vocabulary *out)
{
    if (!clipc_quick_json_symbol(reader, '{'))
        return false;
    if (clipc_quick_json_symbol(reader, '}'))
        return true;
    do {
        uint32_t id = 0;
        if (out->count == most)
            return false;
        clipc_vocabulary_entry *entry = &out->entries[out->count++];
        if (!clipc_quick_json_text(reader, &entry->text, &entry->length) || !clipc_quick_json_symbol(reader, ':') ||
            !clipc_quick_json_number(reader, &id))
            return false;
        entry->id = id;
    } while (clipc_quick_json_symbol(reader, ','));
    return clipc_quick_json_symbol(reader, '}');
}

clipc_status clipc_vocabulary_read_quick(clipc_quick_json *reader, size_t most, clipc_vocabulary *out, bool *taken,
                                         clipc_error *error)
{
    clipc_status status = CLIPC_OK;
    *out = (clipc_vocabulary){0};
    *taken = false;
    CLIPC_CHECK(clipc_vocabulary_reserve(out, most, error));
    if (read_entries(reader, most, out))
        CLIPC_CHECK(clipc_vocabulary_index(out, taken, error));
fail:
    if (!*taken)
        clipc_vocabulary_free(out);
    return status;
}

clipc_status clipc_vocabulary_read_json(const json_t *object, const char *name, clipc_vocabulary *out,
                                        clipc_error *error)
{
    const char *text = NULL;
    json_t *value = NULL;
    bool distinct = false;
    CLIPC_FAIL_IF(json_object_size(object) >= (size_t)1 << 30, error, CLIPC_ERROR_LIMIT, "%s: too many tokens", name);
    CLIPC_TRY(clipc_vocabulary_reserve(out, json_object_size(object), error));
    json_object_foreach((json_t *)(uintptr_t)object, text, value)
    {
        CLIPC_FAIL_IF(!json_is_integer(value), error, CLIPC_ERROR_FORMAT,
                      "%s: the id of token \"%s\" is not an integer", name, text);
        out->entries[out->count++] =
            (clipc_vocabulary_entry){.text = text, .length = strlen(text), .id = json_integer_value(value)};
    }
    CLIPC_TRY(clipc_vocabulary_index(out, &distinct, error));
    CLIPC_FAIL_IF(!distinct, error, CLIPC_ERROR_LIMIT, "%s: its tokens are made to collide", name);
    return CLIPC_OK;
}

clipc_status clipc_vocabulary_check(clipc_vocabulary *vocabulary, const char *name, size_t vocabulary_size,
                                    clipc_error *error)
{
    vocabulary->id_limit = clipc_min(vocabulary_size, CLIPC_MAX_TOKEN_IDS);
    vocabulary->by_id = clipc_allocate(vocabulary->id_limit, sizeof *vocabulary->by_id);
    if (!vocabulary->by_id)
        return clipc_fail_memory(error, vocabulary->id_limit * sizeof *vocabulary->by_id, "a vocabulary");
    for (size_t i = 0; i < vocabulary->count; i++) {
        const clipc_vocabulary_entry *entry = &vocabulary->entries[i];
        const int length = (int)clipc_min(entry->length, CLIPC_MAX_ADDED_BYTES);
        CLIPC_FAIL_IF(entry->id < 0 || (uint64_t)entry->id >= vocabulary->id_limit, error, CLIPC_ERROR_FORMAT,
                      "%s: token \"%.*s\" has id %lld, which is not below the vocabulary size %zu", name, length,
                      entry->text, (long long)entry->id, vocabulary->id_limit);
        CLIPC_FAIL_IF(vocabulary->by_id[entry->id], error, CLIPC_ERROR_FORMAT,
                      "%s: id %lld is given to two tokens, one is \"%.*s\"", name, (long long)entry->id, length,
                      entry->text);
        vocabulary->by_id[entry->id] = (uint32_t)i + 1;
    }
    return CLIPC_OK;
}

void clipc_vocabulary_free(clipc_vocabulary *vocabulary)
{
    clipc_free(vocabulary->entries);
    clipc_free(vocabulary->slots);
    clipc_free(vocabulary->by_id);
    *vocabulary = (clipc_vocabulary){0};
}

uint32_t clipc_vocabulary_find(const clipc_vocabulary *vocabulary, const char *text, size_t length)
{
    uint32_t tag = 0;
    const struct clipc_vocabulary_slot *slot = find_slot(vocabulary, text, length, &tag);
    return slot && slot->number ? (uint32_t)vocabulary->entries[slot->number - 1].id : CLIPC_NO_TOKEN;
}

bool clipc_vocabulary_is(const clipc_vocabulary *vocabulary, uint32_t id, const char *text, size_t length)
{
    const uint32_t number = id < vocabulary->id_limit ? vocabulary->by_id[id] : 0;
    return number && entry_is(&vocabulary->entries[number - 1], text, length);
}
