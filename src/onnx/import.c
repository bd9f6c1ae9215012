#include "onnx/import.h"

#include "base/checked.h"
#include "base/memory.h"
#include "onnx/file.h"
#include "onnx/import_weights.h"
#include "onnx/recognize.h"

#include <stdlib.h>
#include <string.h>

/* What the values of a graph may take; what is copied of weights may take four times what is stored of them. */
#define VALUE_BYTES ((size_t)20 << 20)
#define SPARE_BYTES ((size_t)4 << 20)

/* Items that a graph of any batch is run with; two tell an axis of items from one of a single element. Graphs that
 * were traced with one item and kept that number somewhere only make sense for one. */
static const size_t batches[] = {2, 1};

typedef struct reader {
    clipc_onnx_file *file;
    clipc_onnx_import *import;
    clipc_onnx_arena values;
    clipc_onnx_interpreter interpreter;
    clipc_onnx_refusal refusal; /* of what came nearest to an embedding */
    clipc_error *error;
} reader;

/* ---- inputs of any size ---- */

static const clipc_onnx_constant *stored(const clipc_onnx_file *file, const char *name)
{
    for (size_t i = 0; i < file->array_count; i++)
        if (strcmp(file->arrays[i]->name, name) == 0)
            return file->arrays[i];
    return NULL;
}

static const clipc_onnx_constant *stored_input(const clipc_onnx_file *file, const char *operator, size_t input,
                                               size_t rank)
{
    for (size_t i = 0; i < file->node_count; i++) {
        const Onnx__NodeProto *node = file->nodes[i];
        if (!node->op_type || strcmp(node->op_type, operator) != 0 || node->n_input <= input)
            continue;
        const clipc_onnx_constant *found = stored(file, node->input[input]);
        if (found && found->rank == rank)
            return found;
    }
    return NULL;
}

/* Where the graph leaves its input's sides open, the rows of the position embedding tell them: the stored array of
 * that many rows of the tower's width. */
static size_t rows_of_positions(const clipc_onnx_file *file, size_t width, bool image)
{
    for (size_t i = 0; i < file->array_count; i++) {
        const clipc_onnx_constant *array = file->arrays[i];
        const size_t rank = array->rank;
        size_t side = 1;
        if (rank < 2 || rank > 3 || array->shape[rank - 1] != width || (rank == 3 && array->shape[0] != 1))
            continue;
        const size_t rows = array->shape[rank - 2];
        while (image && side * side + 1 < rows && side < 256)
            side++;
        const bool square = rows == side * side + 1 || rows == side * side; /* with a class token, or without */
        if (image ? square && rows > 1 : rows > 1 && rows <= 2048 && rows != width)
            return image ? side : rows;
    }
    return 0;
}

static void guess_sizes(reader *from)
{
    const clipc_onnx_constant *patches = stored_input(from->file, "Conv", 1, 4);
    const clipc_onnx_constant *tokens = stored_input(from->file, "Gather", 0, 2);
    clipc_onnx_interpreter *in = &from->interpreter;
    if (patches && patches->shape[3] <= 1024)
        in->image_size = patches->shape[3] * rows_of_positions(from->file, patches->shape[0], true);
    if (tokens)
        in->tokens = rows_of_positions(from->file, tokens->shape[1], false);
}

/* ---- running ---- */

static clipc_status fail_unrecognized(const reader *from)
{
    const clipc_onnx_refusal *refusal = &from->refusal;
    const char *reason = refusal->reason ? refusal->reason : "the graph has no output";
    if (!refusal->node)
        return clipc_fail(from->error, CLIPC_ERROR_UNSUPPORTED, "%s: is no CLIP tower: %s", from->file->name, reason);
    return clipc_fail(from->error, CLIPC_ERROR_UNSUPPORTED, "%s: is no CLIP tower: node '%.80s' (%.40s) %s",
                      from->file->name, refusal->node->name ? refusal->node->name : "",
                      refusal->node->op_type ? refusal->node->op_type : "", reason);
}

static clipc_status take_outputs(reader *from)
{
    clipc_onnx_interpreter *in = &from->interpreter;
    for (size_t i = 0; i < from->file->output_count; i++) {
        clipc_onnx_tower tower;
        clipc_onnx_refusal refusal;
        const char *name = from->file->outputs[i]->name;
        const clipc_onnx_known output = name ? clipc_onnx_find_value(in, name) : (clipc_onnx_known){0};
        if (clipc_onnx_recognize(in, &output, &tower, &refusal)) {
            bool *has = tower.image ? &from->import->image : &from->import->text;
            if (!*has)
                CLIPC_TRY(clipc_onnx_import_tower(from->import, in, &tower, from->error));
            *has = true;
        } else if (!from->refusal.reason || !output.layout || output.layout->rank == 2) {
            from->refusal = refusal;
        }
        if (in->arena->status != CLIPC_OK)
            return in->arena->status;
    }
    return CLIPC_OK;
}

static clipc_status run(reader *from, size_t batch)
{
    from->values = (clipc_onnx_arena){
        .limit = VALUE_BYTES, .name = from->file->name, .what = "what the graph computes", .error = from->error};
    from->interpreter =
        (clipc_onnx_interpreter){.file = from->file, .arena = &from->values, .batch = batch, .error = from->error};
    guess_sizes(from);
    clipc_status status = clipc_onnx_interpret(&from->interpreter);
    if (status == CLIPC_OK) {
        const clipc_onnx_refusal first = from->refusal;
        from->refusal = (clipc_onnx_refusal){NULL, NULL};
        status = take_outputs(from);
        if (status == CLIPC_OK && !from->import->image && !from->import->text)
            status = fail_unrecognized(from);
        (void)first;
    }
    clipc_onnx_arena_free(&from->values);
    return status;
}

static const char *keep(clipc_onnx_import *import, const char *text)
{
    return text ? clipc_onnx_arena_text(&import->kept, text, strlen(text)) : NULL;
}

/* An attempt that failed on the way may have taken some weights and sizes. */
static void start_anew(clipc_onnx_import *import)
{
    clipc_weights_free(&import->weights);
    clipc_onnx_arena_free(&import->kept);
    *import = (clipc_onnx_import){.config = clipc_config_clip(), .kept = import->kept};
}

/* What texts are filled up with, where no mask of the graph names it: 0, open_clip's own, without metadata. */
static void read_pad(const clipc_onnx_file *file, clipc_config *config)
{
    const char *text = clipc_onnx_file_metadata(file, "clipc.pad_token");
    char *end = NULL;
    const long pad = text ? strtol(text, &end, 10) : 0;
    const bool known = text && end != text && !*end && pad >= 0 && (size_t)pad < config->vocabulary_size;
    if (known && !config->text_class_token && pad <= INT32_MAX)
        config->pad_token = (int32_t)pad;
}

static clipc_status read_file(reader *from)
{
    clipc_onnx_import *import = from->import;
    clipc_status status = CLIPC_OK;
    size_t limit = 0;
    CLIPC_FAIL_IF(!clipc_multiply(from->file->array_bytes, 4, &limit) || !clipc_add(limit, SPARE_BYTES, &limit),
                  from->error, CLIPC_ERROR_LIMIT, "%s: its weights are too large", from->file->name);
    import->kept.limit = limit;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        start_anew(import);
        status = run(from, batches[i]);
        if (status != CLIPC_ERROR_UNSUPPORTED)
            break;
    }
    CLIPC_TRY(status);
    read_pad(from->file, &import->config);
    import->preprocessing = keep(import, clipc_onnx_file_metadata(from->file, "clipc.preprocessing"));
    import->preprocessing_order = keep(import, clipc_onnx_file_metadata(from->file, "clipc.preprocessing_order"));
    import->template_text = keep(import, clipc_onnx_file_metadata(from->file, "clipc.template"));
    import->logit_scale = keep(import, clipc_onnx_file_metadata(from->file, "logit_scale"));
    import->logit_bias = keep(import, clipc_onnx_file_metadata(from->file, "logit_bias"));
    return import->kept.status;
}

clipc_status clipc_onnx_import_read(const uint8_t *bytes, size_t size, const char *name,
                                    const clipc_onnx_external *external, clipc_onnx_import *out, clipc_error *error)
{
    *out = (clipc_onnx_import){.config = clipc_config_clip(),
                               .kept = {.name = name, .what = "copies of weights", .error = error}};
    clipc_onnx_file file;
    reader from = {.file = &file, .import = out, .error = error};
    clipc_status status = clipc_onnx_file_read(bytes, size, name, external, &file, error);
    if (status == CLIPC_OK)
        status = read_file(&from);
    clipc_onnx_file_free(&file);
    out->kept.error = NULL; /* it outlives the call */
    return status;
}

void clipc_onnx_import_free(clipc_onnx_import *import)
{
    clipc_weights_free(&import->weights);
    clipc_onnx_arena_free(&import->kept);
    *import = (clipc_onnx_import){0};
}
