/* What a pickle may call, and what comes of it. */
#include "io/pickle_machine.h"

#include <string.h>

static const struct known {
    const char *module;
    const char *name;
    uint32_t what;
    clipc_dtype dtype; /* of a storage */
} known[] = {
    {"collections", "OrderedDict", CLIPC_CALL_ORDERED_DICT, CLIPC_DTYPE_OTHER},
    {"torch._utils", "_rebuild_tensor_v2", CLIPC_CALL_TENSOR_V2, CLIPC_DTYPE_OTHER},
    {"torch._utils", "_rebuild_tensor", CLIPC_CALL_TENSOR, CLIPC_DTYPE_OTHER},
    {"torch._utils", "_rebuild_parameter", CLIPC_CALL_PARAMETER, CLIPC_DTYPE_OTHER},
    {"torch", "Size", CLIPC_CALL_SIZE, CLIPC_DTYPE_OTHER},
    {"torch", "FloatStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_F32},
    {"torch", "HalfStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_F16},
    {"torch", "BFloat16Storage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_BF16},
    {"torch", "DoubleStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_F64},
    {"torch", "LongStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_I64},
    {"torch", "IntStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_I32},
    {"torch", "CharStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_I8},
    {"torch", "ByteStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_U8},
    {"torch", "BoolStorage", CLIPC_CALL_STORAGE_TYPE, CLIPC_DTYPE_BOOL},
    {"torch.jit._pickle", "build_intlist", CLIPC_CALL_FIRST, CLIPC_DTYPE_OTHER},
    {"torch.jit._pickle", "build_doublelist", CLIPC_CALL_FIRST, CLIPC_DTYPE_OTHER},
    {"torch.jit._pickle", "build_boollist", CLIPC_CALL_FIRST, CLIPC_DTYPE_OTHER},
    {"torch.jit._pickle", "build_tensorlist", CLIPC_CALL_FIRST, CLIPC_DTYPE_OTHER},
    {"torch.jit._pickle", "restore_type_tag", CLIPC_CALL_FIRST, CLIPC_DTYPE_OTHER},
};

#define SCRIPT_PREFIX "__torch__."
/* Of a name in a message. */
#define MOST_NAME ((size_t)80)

static clipc_pickle_value constructor_value(uint32_t what, clipc_dtype dtype)
{
    return (clipc_pickle_value){.kind = CLIPC_PICKLE_CONSTRUCTOR, .constructor = {what, dtype}};
}

static int shown_length(const clipc_pickle_value *text)
{
    return (int)(text->text.length < MOST_NAME ? text->text.length : MOST_NAME);
}

clipc_status clipc_pickle_find_constructor(const clipc_pickle *pickle, const clipc_pickle_value *module,
                                           const clipc_pickle_value *name, clipc_pickle_value *out, clipc_error *error)
{
    const size_t prefix = strlen(SCRIPT_PREFIX);
    const bool script = clipc_pickle_is_text(module, "__torch__") ||
                        (module->text.length >= prefix && memcmp(module->text.bytes, SCRIPT_PREFIX, prefix) == 0);
    if (script) {
        *out = constructor_value(CLIPC_CALL_SCRIPT_CLASS, CLIPC_DTYPE_OTHER);
        return CLIPC_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (clipc_pickle_is_text(module, known[i].module) && clipc_pickle_is_text(name, known[i].name)) {
            *out = constructor_value(known[i].what, known[i].dtype);
            return CLIPC_OK;
        }
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED,
                      "%s: the pickle names %.*s.%.*s, which saved weights do not need; clipc runs nothing of a file",
                      pickle->name, shown_length(module), module->text.bytes, shown_length(name), name->text.bytes);
}

/* ---- arguments ---- */

/* The values of the first `count` items of a tuple, which must have `least` at least; NULL for those it lacks. */
static clipc_status read_tuple(const clipc_pickle *pickle, clipc_pickle_id id, size_t least, size_t count,
                               clipc_pickle_id *out, clipc_error *error)
{
    const clipc_pickle_value *tuple = &pickle->values[id];
    CLIPC_FAIL_IF(tuple->kind != CLIPC_PICKLE_TUPLE || tuple->count < least || tuple->count > count, error,
                  CLIPC_ERROR_FORMAT, "%s: the pickle calls a constructor with the wrong arguments", pickle->name);
    uint32_t link = tuple->items.first;
    for (size_t i = 0; i < count; i++) {
        out[i] = i < tuple->count ? pickle->links[link].value : CLIPC_PICKLE_END;
        link = i < tuple->count ? pickle->links[link].next : link;
    }
    return CLIPC_OK;
}

/* A whole number from 0 up. */
static clipc_status read_size(const clipc_pickle *pickle, clipc_pickle_id id, size_t *out, clipc_error *error)
{
    const clipc_pickle_value *value = &pickle->values[id];
    CLIPC_FAIL_IF(value->kind != CLIPC_PICKLE_INTEGER || value->integer < 0, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a tensor or storage whose sizes are not whole numbers from 0 up", pickle->name);
    *out = (size_t)value->integer;
    return CLIPC_OK;
}

static clipc_status read_sizes(const clipc_pickle *pickle, clipc_pickle_id id, size_t sizes[CLIPC_TENSOR_MAX_RANK],
                               size_t *rank, clipc_error *error)
{
    clipc_pickle_id items[CLIPC_TENSOR_MAX_RANK];
    CLIPC_TRY(read_tuple(pickle, id, 0, CLIPC_TENSOR_MAX_RANK, items, error));
    *rank = pickle->values[id].count;
    for (size_t i = 0; i < *rank; i++)
        CLIPC_TRY(read_size(pickle, items[i], &sizes[i], error));
    return CLIPC_OK;
}

/* ---- calls ---- */

/* _rebuild_tensor(storage, offset, size, stride), and _v2 with requires_grad, hooks and metadata after them. */
static clipc_status rebuild_tensor(clipc_pickle *pickle, clipc_pickle_id arguments, size_t most, clipc_pickle_id *out,
                                   clipc_error *error)
{
    clipc_pickle_id items[7] = {0};
    size_t strides = 0;
    clipc_pickle_tensor tensor = {0};
    CLIPC_TRY(read_tuple(pickle, arguments, most == 4 ? 4 : 6, most, items, error));
    const clipc_pickle_value *storage = &pickle->values[items[0]];
    CLIPC_FAIL_IF(storage->kind != CLIPC_PICKLE_STORAGE, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a tensor without a storage", pickle->name);
    tensor.storage = storage->index;
    CLIPC_TRY(read_size(pickle, items[1], &tensor.offset, error));
    CLIPC_TRY(read_sizes(pickle, items[2], tensor.shape, &tensor.rank, error));
    CLIPC_TRY(read_sizes(pickle, items[3], tensor.stride, &strides, error));
    CLIPC_FAIL_IF(strides != tensor.rank, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a tensor of %zu dimensions with %zu strides", pickle->name, tensor.rank,
                  strides);
    CLIPC_TRY(clipc_pickle_grow(pickle, (void **)&pickle->tensors, pickle->tensor_count, &pickle->tensor_capacity,
                                sizeof *pickle->tensors, CLIPC_PICKLE_MAX_TENSORS, error));
    const uint32_t index = (uint32_t)pickle->tensor_count++;
    pickle->tensors[index] = tensor;
    return clipc_pickle_make(pickle, (clipc_pickle_value){.kind = CLIPC_PICKLE_TENSOR, .index = index}, out, error);
}

/* A call that stands for its first argument, which must be of the given kind. */
static clipc_status first_argument(clipc_pickle *pickle, clipc_pickle_id arguments, size_t least, size_t most,
                                   clipc_pickle_id *out, clipc_error *error)
{
    clipc_pickle_id items[4] = {0};
    CLIPC_TRY(read_tuple(pickle, arguments, least, most, items, error));
    *out = items[0];
    return CLIPC_OK;
}

static clipc_status rebuild_parameter(clipc_pickle *pickle, clipc_pickle_id arguments, clipc_pickle_id *out,
                                      clipc_error *error)
{
    CLIPC_TRY(first_argument(pickle, arguments, 3, 3, out, error));
    CLIPC_FAIL_IF(pickle->values[*out].kind != CLIPC_PICKLE_TENSOR, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle has a parameter that is no tensor", pickle->name);
    return CLIPC_OK;
}

static clipc_status new_dict(clipc_pickle *pickle, clipc_pickle_id arguments, clipc_pickle_id *out, clipc_error *error)
{
    const clipc_pickle_value *tuple = &pickle->values[arguments];
    CLIPC_FAIL_IF(tuple->kind != CLIPC_PICKLE_TUPLE || tuple->count != 0, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the pickle makes an OrderedDict of arguments, which saved weights do not need", pickle->name);
    return clipc_pickle_make(pickle, clipc_pickle_empty(CLIPC_PICKLE_DICT), out, error);
}

static clipc_status check_constructor(const clipc_pickle *pickle, clipc_pickle_id id, clipc_error *error)
{
    CLIPC_FAIL_IF(pickle->values[id].kind != CLIPC_PICKLE_CONSTRUCTOR, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle calls what is no constructor", pickle->name);
    return CLIPC_OK;
}

clipc_status clipc_pickle_reduce(clipc_pickle *pickle, clipc_pickle_id constructor, clipc_pickle_id arguments,
                                 clipc_pickle_id *out, clipc_error *error)
{
    CLIPC_TRY(check_constructor(pickle, constructor, error));
    switch (pickle->values[constructor].constructor.what) {
    case CLIPC_CALL_ORDERED_DICT: return new_dict(pickle, arguments, out, error);
    case CLIPC_CALL_TENSOR: return rebuild_tensor(pickle, arguments, 4, out, error);
    case CLIPC_CALL_TENSOR_V2: return rebuild_tensor(pickle, arguments, 7, out, error);
    case CLIPC_CALL_PARAMETER: return rebuild_parameter(pickle, arguments, out, error);
    case CLIPC_CALL_SIZE: return first_argument(pickle, arguments, 1, 1, out, error);
    case CLIPC_CALL_FIRST: return first_argument(pickle, arguments, 1, 2, out, error);
    default: break;
    }
    return clipc_fail(error, CLIPC_ERROR_UNSUPPORTED, "%s: the pickle calls a class, which saved weights do not need",
                      pickle->name);
}

clipc_status clipc_pickle_new_object(clipc_pickle *pickle, clipc_pickle_id constructor, clipc_pickle_id *out,
                                     clipc_error *error)
{
    CLIPC_TRY(check_constructor(pickle, constructor, error));
    CLIPC_FAIL_IF(pickle->values[constructor].constructor.what != CLIPC_CALL_SCRIPT_CLASS, error,
                  CLIPC_ERROR_UNSUPPORTED,
                  "%s: the pickle makes an object of a class, which saved weights do not need", pickle->name);
    return clipc_pickle_make(pickle, clipc_pickle_empty(CLIPC_PICKLE_OBJECT), out, error);
}

/* A module gets its attributes. What a state dict gets (its _metadata) says nothing about weights. */
clipc_status clipc_pickle_build(clipc_pickle *pickle, clipc_pickle_id object, clipc_pickle_id state,
                                clipc_error *error)
{
    clipc_pickle_value *value = &pickle->values[object];
    const clipc_pickle_value *attributes = &pickle->values[state];
    CLIPC_FAIL_IF(attributes->kind != CLIPC_PICKLE_DICT, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: the pickle sets an object's state to what is no dict", pickle->name);
    CLIPC_FAIL_IF(value->kind != CLIPC_PICKLE_OBJECT && value->kind != CLIPC_PICKLE_DICT, error, CLIPC_ERROR_FORMAT,
                  "%s: the pickle sets the state of what is no object", pickle->name);
    if (value->kind == CLIPC_PICKLE_OBJECT) {
        value->items = attributes->items;
        value->count = attributes->count;
    }
    return CLIPC_OK;
}

/* ('storage', type, key, location, count), in old files with a view after them. The location does not matter. */
clipc_status clipc_pickle_load_storage(clipc_pickle *pickle, clipc_pickle_id persistent, clipc_pickle_id *out,
                                       clipc_error *error)
{
    clipc_pickle_id items[6] = {0};
    CLIPC_TRY(read_tuple(pickle, persistent, 5, 6, items, error));
    const clipc_pickle_value *type = &pickle->values[items[1]];
    const clipc_pickle_value *key = &pickle->values[items[2]];
    CLIPC_FAIL_IF(
        !clipc_pickle_is_text(&pickle->values[items[0]], "storage") || type->kind != CLIPC_PICKLE_CONSTRUCTOR ||
            type->constructor.what != CLIPC_CALL_STORAGE_TYPE || key->kind != CLIPC_PICKLE_TEXT,
        error, CLIPC_ERROR_UNSUPPORTED, "%s: the pickle refers to something outside that is no storage", pickle->name);
    CLIPC_FAIL_IF(items[5] != CLIPC_PICKLE_END && pickle->values[items[5]].kind != CLIPC_PICKLE_NONE, error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: the pickle has a view of a storage, of which clipc knows none",
                  pickle->name);
    clipc_pickle_storage storage = {
        .dtype = type->constructor.dtype, .key = key->text.bytes, .key_length = key->text.length};
    CLIPC_TRY(read_size(pickle, items[4], &storage.count, error));
    CLIPC_TRY(clipc_pickle_grow(pickle, (void **)&pickle->storages, pickle->storage_count, &pickle->storage_capacity,
                                sizeof *pickle->storages, CLIPC_PICKLE_MAX_TENSORS, error));
    const uint32_t index = (uint32_t)pickle->storage_count++;
    pickle->storages[index] = storage;
    return clipc_pickle_make(pickle, (clipc_pickle_value){.kind = CLIPC_PICKLE_STORAGE, .index = index}, out, error);
}
