#include "io/pickle.h"

#include "base/checked.h"
#include "base/memory.h"
#include "io/pickle_machine.h"

#include <string.h>

/* ---- memory ---- */

clipc_status clipc_pickle_grow(clipc_pickle *pickle, void **array, size_t count, size_t *capacity, size_t size,
                               size_t limit, clipc_error *error)
{
    if (count < *capacity)
        return CLIPC_OK;
    CLIPC_FAIL_IF(count >= limit, error, CLIPC_ERROR_LIMIT,
                  "%s: the pickle holds more values than any model's (%zu of a kind)", pickle->name, limit);
    const size_t larger = clipc_min(limit, *capacity ? 2 * *capacity : 64);
    void *grown = clipc_reallocate(*array, larger, size);
    if (!grown)
        return clipc_fail_memory(error, larger * size, pickle->name);
    *array = grown;
    *capacity = larger;
    return CLIPC_OK;
}

#define GROW(pickle, array, count, capacity, limit, error)                                                            \
    clipc_pickle_grow(pickle, (void **)&(pickle)->array, (pickle)->count, &(pickle)->capacity,                        \
                      sizeof *(pickle)->array, limit, error)

clipc_status clipc_pickle_make(clipc_pickle *pickle, clipc_pickle_value value, clipc_pickle_id *out,
                               clipc_error *error)
{
    CLIPC_TRY(GROW(pickle, values, value_count, value_capacity, CLIPC_PICKLE_MAX_VALUES, error));
    *out = (clipc_pickle_id)pickle->value_count;
    pickle->values[pickle->value_count++] = value;
    return CLIPC_OK;
}

clipc_pickle_value clipc_pickle_empty(clipc_pickle_kind kind)
{
    return (clipc_pickle_value){.kind = kind, .items = {CLIPC_PICKLE_END, CLIPC_PICKLE_END}};
}

clipc_status clipc_pickle_append(clipc_pickle *pickle, clipc_pickle_id container, clipc_pickle_id item,
                                 clipc_error *error)
{
    CLIPC_TRY(GROW(pickle, links, link_count, link_capacity, 2 * CLIPC_PICKLE_MAX_VALUES, error));
    const uint32_t link = (uint32_t)pickle->link_count++;
    pickle->links[link] = (clipc_pickle_link){.value = item, .next = CLIPC_PICKLE_END};
    clipc_pickle_value *value = &pickle->values[container];
    if (value->items.last == CLIPC_PICKLE_END)
        value->items.first = link;
    else
        pickle->links[value->items.last].next = link;
    value->items.last = link;
    value->count++;
    return CLIPC_OK;
}

/* ---- reading the stream ---- */

static clipc_status take(clipc_pickle *pickle, size_t length, const uint8_t **out, clipc_error *error)
{
    CLIPC_FAIL_IF(length > pickle->size - pickle->at, error, CLIPC_ERROR_TRUNCATED, "%s: the pickle ends too early",
                  pickle->name);
    *out = pickle->bytes + pickle->at;
    pickle->at += length;
    return CLIPC_OK;
}

/* A little-endian number of 1 to 8 bytes. */
static clipc_status take_number(clipc_pickle *pickle, size_t length, uint64_t *out, clipc_error *error)
{
    const uint8_t *bytes = NULL;
    CLIPC_TRY(take(pickle, length, &bytes, error));
    *out = 0;
    for (size_t i = 0; i < length; i++)
        *out |= (uint64_t)bytes[i] << (8 * i);
    return CLIPC_OK;
}

/* Text of as many bytes as the number of `length_size` bytes before it says. */
static clipc_status take_text(clipc_pickle *pickle, size_t length_size, clipc_pickle_value *out, clipc_error *error)
{
    uint64_t length = 0;
    const uint8_t *bytes = NULL;
    CLIPC_TRY(take_number(pickle, length_size, &length, error));
    CLIPC_TRY(take(pickle, (size_t)length, &bytes, error));
    *out = (clipc_pickle_value){.kind = CLIPC_PICKLE_TEXT, .text = {(const char *)bytes, (size_t)length}};
    return CLIPC_OK;
}

/* Text up to a line break, which is left out. */
static clipc_status take_line(clipc_pickle *pickle, clipc_pickle_value *out, clipc_error *error)
{
    const uint8_t *begin = pickle->bytes + pickle->at;
    const uint8_t *end = memchr(begin, '\n', pickle->size - pickle->at);
    CLIPC_FAIL_IF(!end, error, CLIPC_ERROR_TRUNCATED, "%s: the pickle ends too early", pickle->name);
    *out = (clipc_pickle_value){.kind = CLIPC_PICKLE_TEXT, .text = {(const char *)begin, (size_t)(end - begin)}};
    pickle->at += out->text.length + 1;
    return CLIPC_OK;
}

/* ---- the stack ---- */

static clipc_status push(clipc_pickle *pickle, clipc_pickle_id id, clipc_error *error)
{
    CLIPC_TRY(GROW(pickle, stack, stack_count, stack_capacity, CLIPC_PICKLE_MAX_VALUES, error));
    pickle->stack[pickle->stack_count++] = id;
    return CLIPC_OK;
}

static clipc_status push_new(clipc_pickle *pickle, clipc_pickle_value value, clipc_error *error)
{
    clipc_pickle_id id = 0;
    CLIPC_TRY(clipc_pickle_make(pickle, value, &id, error));
    return push(pickle, id, error);
}

/* Where the stack ends for those who do not look at marks. */
static size_t stack_floor(const clipc_pickle *pickle)
{
    return pickle->mark_count ? pickle->marks[pickle->mark_count - 1] : 0;
}

static clipc_status fail_stack(const clipc_pickle *pickle, clipc_error *error)
{
    return clipc_fail(error, CLIPC_ERROR_FORMAT, "%s: the pickle takes more from its stack than is there",
                      pickle->name);
}

static clipc_status pop(clipc_pickle *pickle, clipc_pickle_id *out, clipc_error *error)
{
    if (pickle->stack_count == stack_floor(pickle))
        return fail_stack(pickle, error);
    *out = pickle->stack[--pickle->stack_count];
    return CLIPC_OK;
}

static clipc_status top(const clipc_pickle *pickle, clipc_pickle_id *out, clipc_error *error)
{
    if (pickle->stack_count == stack_floor(pickle))
        return fail_stack(pickle, error);
    *out = pickle->stack[pickle->stack_count - 1];
    return CLIPC_OK;
}

static clipc_status push_mark(clipc_pickle *pickle, clipc_error *error)
{
    CLIPC_TRY(GROW(pickle, marks, mark_count, mark_capacity, CLIPC_PICKLE_MAX_VALUES, error));
    pickle->marks[pickle->mark_count++] = (uint32_t)pickle->stack_count;
    return CLIPC_OK;
}

/* Removes the topmost mark and tells where it was; what lies above stays for the caller to take. */
static clipc_status pop_mark(clipc_pickle *pickle, size_t *out, clipc_error *error)
{
    CLIPC_FAIL_IF(!pickle->mark_count, error, CLIPC_ERROR_FORMAT, "%s: the pickle looks for a mark that is not there",
                  pickle->name);
    *out = pickle->marks[--pickle->mark_count];
    return CLIPC_OK;
}

/* Moves everything from stack place `begin` on into the container. */
static clipc_status append_all(clipc_pickle *pickle, clipc_pickle_id container, size_t begin, clipc_error *error)
{
    for (size_t i = begin; i < pickle->stack_count; i++)
        CLIPC_TRY(clipc_pickle_append(pickle, container, pickle->stack[i], error));
    pickle->stack_count = begin;
    return CLIPC_OK;
}

static clipc_status collect(clipc_pickle *pickle, clipc_pickle_kind kind, size_t begin, clipc_error *error)
{
    clipc_pickle_id id = 0;
    CLIPC_FAIL_IF(kind == CLIPC_PICKLE_DICT && (pickle->stack_count - begin) % 2 != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a dict with a key and no value", pickle->name);
    CLIPC_TRY(clipc_pickle_make(pickle, clipc_pickle_empty(kind), &id, error));
    CLIPC_TRY(append_all(pickle, id, begin, error));
    return push(pickle, id, error);
}

static clipc_status collect_marked(clipc_pickle *pickle, clipc_pickle_kind kind, clipc_error *error)
{
    size_t begin = 0;
    CLIPC_TRY(pop_mark(pickle, &begin, error));
    return collect(pickle, kind, begin, error);
}

static clipc_status collect_few(clipc_pickle *pickle, size_t count, clipc_error *error)
{
    if (pickle->stack_count - stack_floor(pickle) < count)
        return fail_stack(pickle, error);
    return collect(pickle, CLIPC_PICKLE_TUPLE, pickle->stack_count - count, error);
}

/* Adds everything from `begin` on to the list or dict just below. */
static clipc_status extend(clipc_pickle *pickle, clipc_pickle_kind kind, size_t begin, clipc_error *error)
{
    if (begin == 0 || begin <= stack_floor(pickle))
        return fail_stack(pickle, error);
    const clipc_pickle_id container = pickle->stack[begin - 1];
    CLIPC_FAIL_IF(pickle->values[container].kind != kind, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle adds items to what is no %s", pickle->name,
                  kind == CLIPC_PICKLE_DICT ? "dict" : "list");
    CLIPC_FAIL_IF(kind == CLIPC_PICKLE_DICT && (pickle->stack_count - begin) % 2 != 0, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a dict with a key and no value", pickle->name);
    return append_all(pickle, container, begin, error);
}

static clipc_status extend_marked(clipc_pickle *pickle, clipc_pickle_kind kind, clipc_error *error)
{
    size_t begin = 0;
    CLIPC_TRY(pop_mark(pickle, &begin, error));
    return extend(pickle, kind, begin, error);
}

static clipc_status extend_few(clipc_pickle *pickle, clipc_pickle_kind kind, size_t count, clipc_error *error)
{
    if (pickle->stack_count - stack_floor(pickle) <= count)
        return fail_stack(pickle, error);
    return extend(pickle, kind, pickle->stack_count - count, error);
}

/* ---- the memo ---- */

static clipc_status memo_put(clipc_pickle *pickle, uint64_t place, clipc_error *error)
{
    clipc_pickle_id id = 0;
    CLIPC_TRY(top(pickle, &id, error));
    CLIPC_FAIL_IF(place >= CLIPC_PICKLE_MAX_VALUES, error, CLIPC_ERROR_LIMIT,
                  "%s: the pickle remembers more values than any model's", pickle->name);
    while (pickle->memo_count <= place) { /* writers number the places one after another */
        CLIPC_TRY(GROW(pickle, memo, memo_count, memo_capacity, CLIPC_PICKLE_MAX_VALUES, error));
        pickle->memo[pickle->memo_count++] = CLIPC_PICKLE_END;
    }
    pickle->memo[place] = id;
    return CLIPC_OK;
}

static clipc_status memo_get(clipc_pickle *pickle, uint64_t place, clipc_error *error)
{
    CLIPC_FAIL_IF(place >= pickle->memo_count || pickle->memo[place] == CLIPC_PICKLE_END, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle asks for a value it has not remembered", pickle->name);
    return push(pickle, pickle->memo[place], error);
}

/* ---- opcodes ---- */

static clipc_status push_integer(clipc_pickle *pickle, clipc_pickle_kind kind, int64_t value, clipc_error *error)
{
    return push_new(pickle, (clipc_pickle_value){.kind = kind, .integer = value}, error);
}

/* LONG1: a two's complement number of as many bytes as the byte before says. */
static clipc_status load_long(clipc_pickle *pickle, clipc_error *error)
{
    uint64_t length = 0;
    uint64_t value = 0;
    const uint8_t *bytes = NULL;
    CLIPC_TRY(take_number(pickle, 1, &length, error));
    if (length > 8) {
        CLIPC_TRY(take(pickle, (size_t)length, &bytes, error));
        return push_integer(pickle, CLIPC_PICKLE_NUMBER, 0, error);
    }
    CLIPC_TRY(take_number(pickle, (size_t)length, &value, error));
    if (length > 0 && length < 8 && value >> (8 * length - 1))
        value |= UINT64_MAX << (8 * length);
    return push_integer(pickle, CLIPC_PICKLE_INTEGER, (int64_t)value, error);
}

static clipc_status load_integer(clipc_pickle *pickle, size_t length, clipc_error *error)
{
    uint64_t value = 0;
    CLIPC_TRY(take_number(pickle, length, &value, error));
    return push_integer(pickle, CLIPC_PICKLE_INTEGER, length == 4 ? (int64_t)(int32_t)value : (int64_t)value, error);
}

static clipc_status load_text(clipc_pickle *pickle, size_t length_size, clipc_error *error)
{
    clipc_pickle_value text;
    CLIPC_TRY(take_text(pickle, length_size, &text, error));
    return push_new(pickle, text, error);
}

static clipc_status load_float(clipc_pickle *pickle, clipc_error *error)
{
    const uint8_t *bytes = NULL;
    CLIPC_TRY(take(pickle, 8, &bytes, error));
    return push_integer(pickle, CLIPC_PICKLE_NUMBER, 0, error);
}

static clipc_status load_constructor(clipc_pickle *pickle, bool from_stack, clipc_error *error)
{
    clipc_pickle_value module;
    clipc_pickle_value name;
    clipc_pickle_value constructor;
    if (from_stack) {
        clipc_pickle_id ids[2] = {0};
        CLIPC_TRY(pop(pickle, &ids[1], error));
        CLIPC_TRY(pop(pickle, &ids[0], error));
        module = pickle->values[ids[0]];
        name = pickle->values[ids[1]];
        CLIPC_FAIL_IF(module.kind != CLIPC_PICKLE_TEXT || name.kind != CLIPC_PICKLE_TEXT, error, CLIPC_ERROR_FORMAT,
                      "%s: the pickle names a constructor by what is no text", pickle->name);
    } else {
        CLIPC_TRY(take_line(pickle, &module, error));
        CLIPC_TRY(take_line(pickle, &name, error));
    }
    CLIPC_TRY(clipc_pickle_find_constructor(pickle, &module, &name, &constructor, error));
    return push_new(pickle, constructor, error);
}

static clipc_status call(clipc_pickle *pickle, bool new_object, clipc_error *error)
{
    clipc_pickle_id constructor = 0;
    clipc_pickle_id arguments = 0;
    clipc_pickle_id result = 0;
    CLIPC_TRY(pop(pickle, &arguments, error));
    CLIPC_TRY(pop(pickle, &constructor, error));
    if (new_object)
        CLIPC_TRY(clipc_pickle_new_object(pickle, constructor, &result, error));
    else
        CLIPC_TRY(clipc_pickle_reduce(pickle, constructor, arguments, &result, error));
    return push(pickle, result, error);
}

static clipc_status build(clipc_pickle *pickle, clipc_error *error)
{
    clipc_pickle_id state = 0;
    clipc_pickle_id object = 0;
    CLIPC_TRY(pop(pickle, &state, error));
    CLIPC_TRY(top(pickle, &object, error));
    return clipc_pickle_build(pickle, object, state, error);
}

static clipc_status load_persistent(clipc_pickle *pickle, clipc_error *error)
{
    clipc_pickle_id persistent = 0;
    clipc_pickle_id storage = 0;
    CLIPC_TRY(pop(pickle, &persistent, error));
    CLIPC_TRY(clipc_pickle_load_storage(pickle, persistent, &storage, error));
    return push(pickle, storage, error);
}

static clipc_status memo_opcode(clipc_pickle *pickle, uint8_t opcode, clipc_error *error)
{
    uint64_t place = pickle->memo_count; /* MEMOIZE's */
    if (opcode != 0x94)
        CLIPC_TRY(take_number(pickle, opcode == 'q' || opcode == 'h' ? 1 : 4, &place, error));
    return opcode == 'h' || opcode == 'j' ? memo_get(pickle, place, error) : memo_put(pickle, place, error);
}

static clipc_status discard(clipc_pickle *pickle, uint8_t opcode, clipc_error *error)
{
    clipc_pickle_id id = 0;
    size_t begin = 0;
    if (opcode == '0')
        return pop(pickle, &id, error);
    CLIPC_TRY(pop_mark(pickle, &begin, error));
    pickle->stack_count = begin;
    return CLIPC_OK;
}

static clipc_status check_protocol(clipc_pickle *pickle, clipc_error *error)
{
    uint64_t protocol = 0;
    CLIPC_TRY(take_number(pickle, 1, &protocol, error));
    CLIPC_FAIL_IF(protocol < 2 || protocol > 5, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: a pickle of protocol %u, clipc reads 2 to 5", pickle->name, (unsigned)protocol);
    return CLIPC_OK;
}

static clipc_status run_opcode(clipc_pickle *pickle, uint8_t opcode, clipc_error *error)
{
    uint64_t ignored = 0;
    switch (opcode) {
    case 0x80: return check_protocol(pickle, error);
    case 0x95: return take_number(pickle, 8, &ignored, error); /* FRAME */
    case '(': return push_mark(pickle, error);
    case '0':
    case '1': return discard(pickle, opcode, error);
    case 'N': return push_integer(pickle, CLIPC_PICKLE_NONE, 0, error);
    case 0x88: return push_integer(pickle, CLIPC_PICKLE_BOOL, 1, error);
    case 0x89: return push_integer(pickle, CLIPC_PICKLE_BOOL, 0, error);
    case 'J': return load_integer(pickle, 4, error);
    case 'K': return load_integer(pickle, 1, error);
    case 'M': return load_integer(pickle, 2, error);
    case 0x8A: return load_long(pickle, error);
    case 'G': return load_float(pickle, error);
    case 'X':
    case 'T':
    case 'B': return load_text(pickle, 4, error);
    case 0x8C:
    case 'U':
    case 'C': return load_text(pickle, 1, error);
    case ')': return collect(pickle, CLIPC_PICKLE_TUPLE, pickle->stack_count, error);
    case ']': return collect(pickle, CLIPC_PICKLE_LIST, pickle->stack_count, error);
    case '}': return collect(pickle, CLIPC_PICKLE_DICT, pickle->stack_count, error);
    case 't': return collect_marked(pickle, CLIPC_PICKLE_TUPLE, error);
    case 'l': return collect_marked(pickle, CLIPC_PICKLE_LIST, error);
    case 'd': return collect_marked(pickle, CLIPC_PICKLE_DICT, error);
    case 0x85:
    case 0x86:
    case 0x87: return collect_few(pickle, opcode - 0x84u, error);
    case 'a': return extend_few(pickle, CLIPC_PICKLE_LIST, 1, error);
    case 'e': return extend_marked(pickle, CLIPC_PICKLE_LIST, error);
    case 's': return extend_few(pickle, CLIPC_PICKLE_DICT, 2, error);
    case 'u': return extend_marked(pickle, CLIPC_PICKLE_DICT, error);
    case 'c': return load_constructor(pickle, false, error);
    case 0x93: return load_constructor(pickle, true, error);
    case 'R': return call(pickle, false, error);
    case 0x81: return call(pickle, true, error);
    case 'b': return build(pickle, error);
    case 'Q': return load_persistent(pickle, error);
    case 'q':
    case 'r':
    case 'h':
    case 'j':
    case 0x94: return memo_opcode(pickle, opcode, error);
    default: break;
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: the pickle has opcode 0x%02X at byte %zu, which no saved weights need", pickle->name,
                      opcode, pickle->at - 1);
}

static clipc_status run(clipc_pickle *pickle, clipc_error *error)
{
    for (;;) {
        const uint8_t *opcode = NULL;
        CLIPC_TRY(take(pickle, 1, &opcode, error));
        if (*opcode == '.')
            break;
        CLIPC_TRY(run_opcode(pickle, *opcode, error));
    }
    CLIPC_FAIL_IF(pickle->stack_count != 1 || pickle->mark_count, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle ends with %zu values, not one", pickle->name, pickle->stack_count);
    return CLIPC_OK;
}

/* ---- what comes of it ---- */

clipc_status clipc_pickle_read(const uint8_t *bytes, size_t size, const char *name, clipc_pickle **out, size_t *used,
                               clipc_error *error)
{
    *out = NULL;
    clipc_pickle *pickle = clipc_allocate(1, sizeof *pickle);
    if (!pickle)
        return clipc_fail_memory(error, sizeof *pickle, name);
    *pickle = (clipc_pickle){.name = name, .bytes = bytes, .size = size};
    const clipc_status status = run(pickle, error);
    if (status != CLIPC_OK) {
        clipc_pickle_free(&pickle);
        return status;
    }
    if (used)
        *used = pickle->at;
    *out = pickle;
    return CLIPC_OK;
}

void clipc_pickle_free(clipc_pickle **pickle)
{
    if (!pickle || !*pickle)
        return;
    clipc_free((*pickle)->values);
    clipc_free((*pickle)->links);
    clipc_free((*pickle)->tensors);
    clipc_free((*pickle)->storages);
    clipc_free((*pickle)->stack);
    clipc_free((*pickle)->marks);
    clipc_free((*pickle)->memo);
    clipc_free(*pickle);
    *pickle = NULL;
}

clipc_pickle_id clipc_pickle_root(const clipc_pickle *pickle)
{
    return pickle->stack[0];
}

const clipc_pickle_value *clipc_pickle_at(const clipc_pickle *pickle, clipc_pickle_id id)
{
    return &pickle->values[id];
}

const clipc_pickle_link *clipc_pickle_link_at(const clipc_pickle *pickle, uint32_t link)
{
    return &pickle->links[link];
}

const clipc_pickle_tensor *clipc_pickle_tensor_at(const clipc_pickle *pickle, uint32_t index)
{
    return &pickle->tensors[index];
}

const clipc_pickle_storage *clipc_pickle_storage_at(const clipc_pickle *pickle, uint32_t index)
{
    return &pickle->storages[index];
}

size_t clipc_pickle_storage_count(const clipc_pickle *pickle)
{
    return pickle->storage_count;
}

bool clipc_pickle_is_text(const clipc_pickle_value *value, const char *text)
{
    return value->kind == CLIPC_PICKLE_TEXT && value->text.length == strlen(text) &&
           memcmp(value->text.bytes, text, value->text.length) == 0;
}

const clipc_pickle_value *clipc_pickle_get(const clipc_pickle *pickle, const clipc_pickle_value *dict, const char *key)
{
    const clipc_pickle_value *found = NULL;
    for (uint32_t link = dict->items.first; link != CLIPC_PICKLE_END;) {
        const uint32_t value = pickle->links[link].next;
        if (value == CLIPC_PICKLE_END)
            break; /* of a dict that shares its links with another */
        if (clipc_pickle_is_text(&pickle->values[pickle->links[link].value], key))
            found = &pickle->values[pickle->links[value].value];
        link = pickle->links[value].next;
    }
    return found;
}
