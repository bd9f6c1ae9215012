#include "io/safetensors_write.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"

#include <string.h>

#define ALIGNMENT ((size_t)8) /* of the first tensor, from the file's beginning */

static const char *dtype_word(clipc_dtype dtype)
{
    switch (dtype) {
    case CLIPC_DTYPE_F32: return "F32";
    case CLIPC_DTYPE_F16: return "F16";
    case CLIPC_DTYPE_BF16: return "BF16";
    default: return NULL;
    }
}

/* NULL when there is no memory. `begin` and `end` count from the first tensor's first byte. */
static json_t *describe(const clipc_tensor *tensor, size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < tensor->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_word(tensor->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static clipc_status make_table(const clipc_tensor *tensors, size_t count, char **text, clipc_error *error)
{
    size_t end = 0;
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    for (size_t i = 0; root && i < count; i++) {
        const size_t begin = end;
        end += tensors[i].count * clipc_dtype_size(tensors[i].dtype);
        if (json_object_set_new(root, tensors[i].name, describe(&tensors[i], begin, end)) != 0) {
            json_decref(root);
            root = NULL;
        }
    }
    *text = clipc_json_write(root);
    return *text ? CLIPC_OK : clipc_fail_memory(error, count * 128, "the table of tensors");
}

clipc_status clipc_safetensors_write_table(const clipc_tensor *tensors, size_t count, clipc_write_function write,
                                           void *user, clipc_error *error)
{
    static const char spaces[ALIGNMENT + 1] = "        ";
    char *text = NULL;
    for (size_t i = 0; i < count; i++)
        CLIPC_FAIL_IF(!dtype_word(tensors[i].dtype), error, CLIPC_ERROR_INTERNAL,
                      "tensor '%s' cannot be written as %s", tensors[i].name, clipc_dtype_name(tensors[i].dtype));
    CLIPC_TRY(make_table(tensors, count, &text, error));
    const size_t length = strlen(text);
    const uint64_t padded = clipc_round_up(length, ALIGNMENT);
    uint8_t size[8];
    for (size_t i = 0; i < sizeof size; i++)
        size[i] = (uint8_t)(padded >> 8 * i);
    const int stopped = write(user, size, sizeof size) != 0 || write(user, text, length) != 0 ||
                        (padded > length && write(user, spaces, padded - length) != 0);
    clipc_free(text);
    CLIPC_FAIL_IF(stopped, error, CLIPC_ERROR_IO, "the weights could not be written");
    return CLIPC_OK;
}
