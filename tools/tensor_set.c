#include "tensor_set.h"

#include "message.h"
#include "session.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static named_tensor *find(const tensor_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    return NULL;
}

const named_tensor *tensor_set_find(const tensor_set *set, const char *name)
{
    return find(set, name);
}

size_t tensor_width(const named_tensor *tensor)
{
    return tensor->rank ? tensor->shape[tensor->rank - 1] : 1;
}

/* More rows at the end. */
static void append(named_tensor *tensor, const size_t *shape, float *values, size_t count)
{
    if (tensor->rank != 2 || tensor->shape[1] != shape[1])
        quit(STATUS_SYSTEM, "'%s' is there twice, in two shapes", tensor->name);
    tensor->values = reallocate(tensor->values, tensor->count + count, sizeof *values);
    memcpy(tensor->values + tensor->count, values, count * sizeof *values);
    tensor->shape[0] += shape[0];
    tensor->count += count;
    free(values);
}

void tensor_set_add(tensor_set *set, const char *name, const size_t *shape, size_t rank, float *values)
{
    size_t count = 1;
    for (size_t i = 0; i < rank; i++)
        count *= shape[i];
    named_tensor *found = find(set, name);
    if (found) {
        append(found, shape, values, count);
        return;
    }
    set->items = reallocate(set->items, set->count + 1, sizeof *set->items);
    named_tensor *tensor = &set->items[set->count++];
    *tensor = (named_tensor){.name = duplicate(name), .rank = rank, .values = values, .count = count};
    memcpy(tensor->shape, shape, rank * sizeof *shape);
}

void tensor_set_free(tensor_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].name);
        free(set->items[i].values);
    }
    free(set->items);
    *set = (tensor_set){0};
}

void tensor_set_tap(void *user, const clipc_tap *tap)
{
    const size_t shape[] = {tap->rows, tap->width};
    float *values = allocate(tap->rows * tap->width, sizeof *values);
    for (size_t row = 0; row < tap->rows; row++)
        memcpy(values + row * tap->width, tap->values + row * tap->stride, tap->width * sizeof *values);
    tensor_set_add(user, tap->name, shape, 2, values);
}

char *shape_text(const size_t *shape, size_t rank)
{
    char *text = duplicate(rank ? "" : "scalar");
    for (size_t i = 0; i < rank; i++) {
        char *longer = format_text("%s%s%zu", text, i ? " × " : "", shape[i]);
        free(text);
        text = longer;
    }
    return text;
}

char *tensor_shape_text(const named_tensor *tensor)
{
    return shape_text(tensor->shape, tensor->rank);
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    return length > strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static bool is_array_name(const char *name)
{
    return ends_with(name, ".npy") || ends_with(name, ".npz");
}

static bool is_model_name(const char *name)
{
    static const char *const ends[] = {".safetensors", ".clipc", ".onnx", ".bin", ".pt"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i]))
            return true;
    return false;
}

bool tensor_set_is_operand(const char *path)
{
    struct stat info;
    if (is_array_name(path))
        return true;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return false;
    bool arrays = false;
    bool model = false;
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        arrays |= is_array_name(entry->d_name);
        model |= is_model_name(entry->d_name);
    }
    if (folder)
        closedir(folder);
    return arrays && !model;
}

/* IEEE binary16. */
static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = half >> 10 & 31u;
    const uint32_t fraction = half & 1023u;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    float value = 0;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24F;
        return sign ? -value : value;
    }
    if (exponent == 31)
        bits = sign | 0x7F800000u | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float *to_floats(const clipc_npy *array, size_t count)
{
    float *values = allocate(count, sizeof *values);
    const void *data = clipc_npy_data(array);
    const char *type = clipc_npy_dtype(array);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(type, "float32") == 0)
            values[i] = ((const float *)data)[i];
        else if (strcmp(type, "float16") == 0)
            values[i] = float_of_half(((const uint16_t *)data)[i]);
        else if (strcmp(type, "int32") == 0)
            values[i] = (float)((const int32_t *)data)[i];
        else
            values[i] = (float)((const int64_t *)data)[i];
    }
    return values;
}

static void add_array(tensor_set *set, const char *name, const clipc_npy *array, const char *path)
{
    size_t count = 1;
    const size_t rank = clipc_npy_rank(array);
    for (size_t i = 0; i < rank; i++)
        count *= clipc_npy_shape(array)[i];
    if (find(set, name))
        quit(STATUS_SYSTEM, "%s: '%s' is there twice", path, name);
    tensor_set_add(set, name, clipc_npy_shape(array), rank, to_floats(array, count));
}

static void read_npy(tensor_set *set, const char *path)
{
    clipc_npy *array = NULL;
    clipc_error error = {0};
    if (clipc_npy_open(path, &array, &error) != CLIPC_OK)
        quit_failed(&error);
    const char *slash = strrchr(path, '/');
    char *name = duplicate(slash ? slash + 1 : path);
    name[strlen(name) - strlen(".npy")] = '\0';
    add_array(set, name, array, path);
    free(name);
    clipc_npy_destroy(&array);
}

static void read_npz(tensor_set *set, const char *path)
{
    clipc_npz *archive = NULL;
    clipc_error error = {0};
    if (clipc_npz_open(path, &archive, &error) != CLIPC_OK)
        quit_failed(&error);
    for (size_t i = 0; i < clipc_npz_count(archive); i++)
        add_array(set, clipc_npz_name(archive, i), clipc_npz_array(archive, i), path);
    clipc_npz_destroy(&archive);
}

static void read_file(void *set, const char *path)
{
    if (ends_with(path, ".npz"))
        read_npz(set, path);
    else
        read_npy(set, path);
}

void tensor_set_read(tensor_set *set, const char *path)
{
    tensor_set_each_file(path, read_file, set);
}

static int is_array_entry(const struct dirent *entry)
{
    return is_array_name(entry->d_name);
}

void tensor_set_each_file(const char *path, void (*use)(void *context, const char *file), void *context)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        use(context, path);
        return;
    }
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, is_array_entry, alphasort);
    if (count < 0)
        quit(STATUS_SYSTEM, "%s: cannot read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *file = format_text("%s/%s", path, entries[i]->d_name);
        use(context, file);
        free(file);
        free(entries[i]);
    }
    free(entries);
}
