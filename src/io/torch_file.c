#include "io/torch_file.h"

#include "base/checked.h"
#include "base/memory.h"
#include "io/torch_file_storages.h"

#include <string.h>

/* Modules within modules; deeper ones are refused. */
#define MOST_DEPTH 32
#define MOST_NAME  ((size_t)512)
/* Of all names together, and values looked at: a module may be reached on many ways. */
#define MOST_NAME_BYTES ((size_t)16 << 20)
#define MOST_VISITS     ((size_t)1 << 20)
#define MOST_TENSORS    ((size_t)1 << 16)

struct clipc_torch_file {
    clipc_tensor *tensors; /* in the order of the file */
    clipc_tensor_table table;
    char *names;   /* one after another */
    void **copies; /* of tensors that were not dense; [count] */
    bool is_script;
};

/* One pass over the values, first to count, then to fill. */
typedef struct walk {
    const char *file_name;
    const clipc_torch_parts *parts;
    clipc_torch_file *file;
    bool fill;
    size_t count;
    size_t name_bytes;
    size_t visits;
    size_t copied;
    size_t copy_limit;
    char path[MOST_NAME];
} walk;

/* ---- one tensor ---- */

/* Whether the strides are those of a dense array in row-major order; of dimensions of one they do not matter. */
static bool is_dense(const clipc_pickle_tensor *tensor)
{
    size_t expected = 1;
    for (size_t i = tensor->rank; i-- > 0;) {
        if (tensor->shape[i] != 1 && tensor->stride[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

/* Elements, and the place after the last one in the storage. */
static bool measure(const clipc_pickle_tensor *tensor, size_t *count, size_t *end)
{
    size_t product = 1;
    size_t last = tensor->offset;
    bool empty = false;
    for (size_t i = 0; i < tensor->rank; i++) {
        size_t reach = 0;
        empty |= tensor->shape[i] == 0;
        if (!clipc_multiply(product, tensor->shape[i], &product))
            return false;
        if (tensor->shape[i] &&
            (!clipc_multiply(tensor->shape[i] - 1, tensor->stride[i], &reach) || !clipc_add(last, reach, &last)))
            return false;
    }
    *count = product;
    *end = empty ? tensor->offset : last;
    return empty || clipc_add(last, 1, end);
}

static void copy_dense(const clipc_pickle_tensor *tensor, const uint8_t *from, size_t size, size_t count, uint8_t *to)
{
    size_t index[CLIPC_TENSOR_MAX_RANK] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t place = 0;
        for (size_t d = 0; d < tensor->rank; d++)
            place += index[d] * tensor->stride[d];
        memcpy(to + i * size, from + place * size, size);
        for (size_t d = tensor->rank; d-- > 0;) {
            if (++index[d] < tensor->shape[d])
                break;
            index[d] = 0;
        }
    }
}

/* All copies together take no more than the file: a real one has few, if any. */
static clipc_status make_dense(walk *at, const clipc_pickle_tensor *from, clipc_tensor *tensor, clipc_error *error)
{
    const size_t size = clipc_dtype_size(tensor->dtype);
    size_t bytes = 0;
    CLIPC_FAIL_IF(!clipc_multiply(tensor->count, size, &bytes) || bytes > at->copy_limit - at->copied, error,
                  CLIPC_ERROR_UNSUPPORTED, "%s: tensor '%s' is no dense array, and larger than what it is made of",
                  at->file_name, tensor->name);
    uint8_t *copy = clipc_allocate(1, bytes);
    if (!copy)
        return clipc_fail_memory(error, bytes, tensor->name);
    at->copied += bytes;
    at->file->copies[at->count] = copy;
    copy_dense(from, tensor->data, size, tensor->count, copy);
    tensor->data = copy;
    return CLIPC_OK;
}

static clipc_status fill_tensor(walk *at, const clipc_pickle_value *value, clipc_error *error)
{
    const clipc_pickle_tensor *from = clipc_pickle_tensor_at(at->parts->pickle, value->index);
    const clipc_torch_storage *storage = &at->parts->storages[from->storage];
    clipc_tensor *tensor = &at->file->tensors[at->count];
    size_t end = 0;
    tensor->name = at->file->names + at->name_bytes;
    memcpy(at->file->names + at->name_bytes, at->path, strlen(at->path) + 1);
    tensor->dtype = clipc_pickle_storage_at(at->parts->pickle, from->storage)->dtype;
    tensor->rank = from->rank;
    memcpy(tensor->shape, from->shape, sizeof tensor->shape);
    CLIPC_FAIL_IF(!measure(from, &tensor->count, &end) || end > storage->count, error, CLIPC_ERROR_FORMAT,
                  "%s: tensor '%s' reaches past the end of its storage", at->file_name, tensor->name);
    tensor->data = storage->bytes + from->offset * clipc_dtype_size(tensor->dtype);
    at->file->table.by_name[at->count] = tensor;
    return tensor->count == 0 || is_dense(from) ? CLIPC_OK : make_dense(at, from, tensor, error);
}

static clipc_status take_tensor(walk *at, const clipc_pickle_value *value, clipc_error *error)
{
    const size_t length = strlen(at->path) + 1;
    if (at->fill)
        CLIPC_TRY(fill_tensor(at, value, error));
    at->count++;
    at->name_bytes += length;
    CLIPC_FAIL_IF(at->count > MOST_TENSORS || at->name_bytes > MOST_NAME_BYTES, error, CLIPC_ERROR_LIMIT,
                  "%s: holds more tensors than any model", at->file_name);
    return CLIPC_OK;
}

/* ---- walking over state dicts and modules ---- */

/* Appends ".key" to the path; false when the key is no name that a tensor could have. */
static bool enter(walk *at, const clipc_pickle_value *key)
{
    const size_t length = strlen(at->path);
    const size_t dot = length ? 1 : 0;
    if (key->kind != CLIPC_PICKLE_TEXT || memchr(key->text.bytes, '\0', key->text.length) ||
        key->text.length + dot >= MOST_NAME - length)
        return false;
    if (dot)
        at->path[length] = '.';
    memcpy(at->path + length + dot, key->text.bytes, key->text.length);
    at->path[length + dot + key->text.length] = '\0';
    return true;
}

/* Takes the tensors among the items, and of a module those of its modules. */
static clipc_status visit(walk *at, const clipc_pickle_value *container, unsigned depth, clipc_error *error)
{
    const clipc_pickle *pickle = at->parts->pickle;
    const size_t length = strlen(at->path);
    CLIPC_FAIL_IF(depth > MOST_DEPTH, error, CLIPC_ERROR_LIMIT, "%s: modules lie more than %d deep", at->file_name,
                  MOST_DEPTH);
    for (uint32_t link = container->items.first; link != CLIPC_PICKLE_END;) {
        const clipc_pickle_link *key = clipc_pickle_link_at(pickle, link);
        if (key->next == CLIPC_PICKLE_END)
            break; /* of a dict that shares its links with another */
        const clipc_pickle_link *item = clipc_pickle_link_at(pickle, key->next);
        const clipc_pickle_value *value = clipc_pickle_at(pickle, item->value);
        CLIPC_FAIL_IF(++at->visits > MOST_VISITS, error, CLIPC_ERROR_LIMIT, "%s: holds more values than any model",
                      at->file_name);
        const bool module = container->kind == CLIPC_PICKLE_OBJECT && value->kind == CLIPC_PICKLE_OBJECT;
        if ((module || value->kind == CLIPC_PICKLE_TENSOR) && enter(at, clipc_pickle_at(pickle, key->value)))
            CLIPC_TRY(module ? visit(at, value, depth + 1, error) : take_tensor(at, value, error));
        at->path[length] = '\0';
        link = item->next;
    }
    return CLIPC_OK;
}

/* Visits everything twice: what is counted first has room when it is filled in. */
static clipc_status fill(walk *at, const clipc_pickle_value *container, clipc_error *error)
{
    clipc_torch_file *file = at->file;
    CLIPC_TRY(visit(at, container, 0, error));
    file->tensors = clipc_allocate(at->count, sizeof *file->tensors);
    file->table.by_name = clipc_allocate(at->count, sizeof *file->table.by_name);
    file->copies = clipc_allocate(at->count, sizeof *file->copies);
    file->names = clipc_allocate(at->name_bytes, 1);
    if (!file->tensors || !file->table.by_name || !file->copies || !file->names)
        return clipc_fail_memory(error, at->count * sizeof *file->tensors + at->name_bytes, at->file_name);
    file->table.count = at->count; /* copies beyond those made are NULL */
    at->count = 0;
    at->name_bytes = 0;
    at->visits = 0;
    at->fill = true;
    return visit(at, container, 0, error);
}

/* open_clip takes "module." away when the first name begins so. */
static void strip_module(clipc_torch_file *file)
{
    static const char prefix[] = "module.";
    const size_t length = sizeof prefix - 1;
    if (file->table.count == 0 || strncmp(file->tensors[0].name, prefix, length) != 0)
        return;
    for (size_t i = 0; i < file->table.count; i++)
        if (strncmp(file->tensors[i].name, prefix, length) == 0)
            file->tensors[i].name += length;
}

/* TinyCLIP keeps the parts of open_clip's CLIP in modules of their own, each perhaps within a DistributedDataParallel
 * (https://github.com/wkcn/TinyCLIP, src/open_clip/model.py: CLIPBase, convert_to_new_checkpoint, load_pruned_model).
 */
static const char *const tiny_parts[] = {
    "_image_encoder.",           "_text_encoder.",          "_logit_scale.", "image_encoder_without_ddp.",
    "text_encoder_without_ddp.", "logit_scale_without_ddp."};

/* What follows the part's name; NULL when the tensor is of none. */
static const char *without_part(const char *name)
{
    static const char within[] = "module.";
    for (size_t i = 0; i < sizeof tiny_parts / sizeof tiny_parts[0]; i++) {
        const size_t length = strlen(tiny_parts[i]);
        if (strncmp(name, tiny_parts[i], length) != 0)
            continue;
        name += length;
        return strncmp(name, within, sizeof within - 1) == 0 ? name + sizeof within - 1 : name;
    }
    return NULL;
}

/* Its masks of a network that is being pruned have no place in a model that is run. */
static clipc_status strip_parts(clipc_torch_file *file, const char *file_name, clipc_error *error)
{
    static const char masks[] = "l0_module.";
    for (size_t i = 0; i < file->table.count; i++) {
        const char *name = without_part(file->tensors[i].name);
        CLIPC_FAIL_IF(
            name && strncmp(name, masks, sizeof masks - 1) == 0, error, CLIPC_ERROR_UNSUPPORTED,
            "%s: tensor '%s' is a mask of TinyCLIP's automatic weight inheritance; clipc reads no model whose "
            "layers are pruned each by itself",
            file_name, file->tensors[i].name);
        if (name)
            file->tensors[i].name = name;
    }
    return CLIPC_OK;
}

static clipc_status sort(clipc_torch_file *file, const char *name, clipc_error *error)
{
    const clipc_tensor_table *table = &file->table;
    clipc_tensor_table_sort(&file->table);
    for (size_t i = 1; i < table->count; i++)
        CLIPC_FAIL_IF(strcmp(table->by_name[i - 1]->name, table->by_name[i]->name) == 0, error, CLIPC_ERROR_FORMAT,
                      "%s: tensor '%s' is there twice", name, table->by_name[i]->name);
    return CLIPC_OK;
}

static clipc_status read_tensors(clipc_torch_file *file, const clipc_torch_parts *parts, size_t size, const char *name,
                                 clipc_error *error)
{
    walk at = {.file_name = name, .parts = parts, .file = file, .copy_limit = size};
    const clipc_pickle_value *root = clipc_pickle_at(parts->pickle, clipc_pickle_root(parts->pickle));
    file->is_script = root->kind == CLIPC_PICKLE_OBJECT;
    CLIPC_FAIL_IF(root->kind != CLIPC_PICKLE_OBJECT && root->kind != CLIPC_PICKLE_DICT, error, CLIPC_ERROR_UNSUPPORTED,
                  "%s: holds neither a state dict nor a TorchScript module", name);
    const clipc_pickle_value *inner =
        root->kind == CLIPC_PICKLE_DICT ? clipc_pickle_get(parts->pickle, root, "state_dict") : NULL;
    CLIPC_TRY(fill(&at, inner && inner->kind == CLIPC_PICKLE_DICT ? inner : root, error));
    strip_module(file);
    CLIPC_TRY(strip_parts(file, name, error));
    return sort(file, name, error);
}

bool clipc_torch_file_matches(const void *bytes, size_t size)
{
    return clipc_zip_matches(bytes, size) || clipc_torch_is_old(bytes, size);
}

clipc_status clipc_torch_file_open(const void *bytes, size_t size, const char *name, clipc_torch_file **out,
                                   clipc_error *error)
{
    *out = NULL;
    clipc_status status = CLIPC_OK;
    clipc_torch_parts parts = {0};
    clipc_torch_file *file = clipc_allocate(1, sizeof *file);
    if (!file)
        return clipc_fail_memory(error, sizeof *file, name);
    if (clipc_torch_is_old(bytes, size))
        CLIPC_CHECK(clipc_torch_parts_read_old(bytes, size, name, &parts, error));
    else
        CLIPC_CHECK(clipc_torch_parts_read_zip(bytes, size, name, &parts, error));
    CLIPC_CHECK(read_tensors(file, &parts, size, name, error));
    clipc_torch_parts_free(&parts);
    *out = file;
    return CLIPC_OK;
fail:
    clipc_torch_parts_free(&parts);
    clipc_torch_file_close(&file);
    return status;
}

void clipc_torch_file_close(clipc_torch_file **out)
{
    if (!out || !*out)
        return;
    clipc_torch_file *file = *out;
    for (size_t i = 0; file->copies && i < file->table.count; i++)
        clipc_free(file->copies[i]);
    clipc_free(file->copies);
    clipc_free(file->names);
    clipc_free(file->table.by_name);
    clipc_free(file->tensors);
    clipc_free(file);
    *out = NULL;
}

const clipc_tensor_table *clipc_torch_file_table(const clipc_torch_file *file)
{
    return &file->table;
}

bool clipc_torch_file_is_script(const clipc_torch_file *file)
{
    return file->is_script;
}
