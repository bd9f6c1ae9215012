#include "model_difference.h"

#include "message.h"
#include "session.h"

#include "clipc/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)1 << 16)

/* ---- fields ---- */

/* Takes over both texts. */
static void compare_texts(model_difference *difference, const char *name, char *a, char *b)
{
    if (strcmp(a, b) == 0) {
        free(a);
        free(b);
        return;
    }
    difference->fields = reallocate(difference->fields, difference->field_count + 1, sizeof *difference->fields);
    difference->fields[difference->field_count++] = (field_difference){name, a, b};
}

static void compare_names(model_difference *difference, const char *name, const char *a, const char *b)
{
    compare_texts(difference, name, duplicate(a && a[0] ? a : "none"), duplicate(b && b[0] ? b : "none"));
}

static void compare_sizes(model_difference *difference, const char *name, size_t a, size_t b)
{
    compare_texts(difference, name, format_text("%zu", a), format_text("%zu", b));
}

static void compare_floats(model_difference *difference, const char *name, float a, float b)
{
    compare_texts(difference, name, format_text("%.9g", (double)a), format_text("%.9g", (double)b));
}

/* The names are static: "image.width" and so on. */
static void compare_towers(model_difference *difference, const char *const names[6], const clipc_tower_info *a,
                           const clipc_tower_info *b)
{
    compare_sizes(difference, names[0], a->width, b->width);
    compare_sizes(difference, names[1], a->layers, b->layers);
    compare_sizes(difference, names[2], a->heads, b->heads);
    compare_sizes(difference, names[3], a->mlp_width, b->mlp_width);
    compare_sizes(difference, names[4], a->parameters, b->parameters);
    compare_names(difference, names[5], a->activation, b->activation);
}

static const char *scoring_name(clipc_scoring scoring)
{
    return scoring == CLIPC_SCORING_SIGMOID ? "sigmoid" : "softmax";
}

/* All steps in one line. */
static char *preprocessing_text(const clipc_model *model)
{
    char *text = duplicate("");
    const char *step = NULL;
    for (size_t i = 0; (step = clipc_model_preprocessing_step(model, i)); i++) {
        char *longer = format_text("%s%s%s", text, i ? "; " : "", step);
        free(text);
        text = longer;
    }
    return text;
}

/* What an engine file was tuned for and to, in one line. */
static char *tuning_text(const clipc_model *model)
{
    const clipc_tuning *tuning = clipc_model_tuning(model);
    const char *made_for = clipc_tuning_made_for(tuning);
    const char *name = NULL;
    const char *value = NULL;
    char *text = duplicate(made_for ? made_for : "none");
    for (size_t i = 0; made_for && clipc_tuning_get_choice(tuning, i, &name, &value, NULL) == CLIPC_OK; i++) {
        char *longer = format_text("%s; %s = %s", text, name, value);
        free(text);
        text = longer;
    }
    return text;
}

static void compare_fields(model_difference *difference, const inspected_model *a, const inspected_model *b)
{
    static const char *const image_fields[] = {"image.width",     "image.layers",     "image.heads",
                                               "image.mlp_width", "image.parameters", "image.activation"};
    static const char *const text_fields[] = {"text.width",     "text.layers",     "text.heads",
                                              "text.mlp_width", "text.parameters", "text.activation"};
    const clipc_model_info *left = &a->info;
    const clipc_model_info *right = &b->info;
    compare_names(difference, "family", left->family, right->family);
    compare_names(difference, "format", left->format, right->format);
    compare_sizes(difference, "format_version", left->format_version, right->format_version);
    compare_names(difference, "layout", left->layout, right->layout);
    compare_texts(difference, "tuning", tuning_text(a->model), tuning_text(b->model));
    compare_towers(difference, image_fields, &left->image, &right->image);
    compare_sizes(difference, "image.image_height", left->image_height, right->image_height);
    compare_sizes(difference, "image.image_width", left->image_width, right->image_width);
    compare_sizes(difference, "image.patch_size", left->patch_size, right->patch_size);
    compare_sizes(difference, "image.tokens", left->image_tokens, right->image_tokens);
    compare_towers(difference, text_fields, &left->text, &right->text);
    compare_sizes(difference, "text.context_length", left->context_length, right->context_length);
    compare_sizes(difference, "text.vocabulary_size", left->vocabulary_size, right->vocabulary_size);
    compare_sizes(difference, "embedding_dimension", left->embedding_dimension, right->embedding_dimension);
    compare_floats(difference, "logit_scale", left->logit_scale, right->logit_scale);
    compare_floats(difference, "logit_bias", left->logit_bias, right->logit_bias);
    compare_names(difference, "scoring", scoring_name(left->scoring), scoring_name(right->scoring));
    compare_names(difference, "default_template", left->default_template, right->default_template);
    compare_names(difference, "weights", left->weights_dtype, right->weights_dtype);
    compare_names(difference, "backend", a->engine.backend, b->engine.backend);
    compare_names(difference, "isa", a->engine.isa, b->engine.isa);
    compare_names(difference, "precision", clipc_precision_name(a->engine.precision),
                  clipc_precision_name(b->engine.precision));
    compare_texts(difference, "preprocessing", preprocessing_text(a->model), preprocessing_text(b->model));
    compare_texts(difference, "tokenizer",
                  format_text("checksum %08x", (unsigned)clipc_model_tokenizer_checksum(a->model)),
                  format_text("checksum %08x", (unsigned)clipc_model_tokenizer_checksum(b->model)));
}

/* ---- tensors ---- */

static clipc_tensor_info *list_tensors(const clipc_model *model, size_t count)
{
    clipc_tensor_info *list = allocate(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        clipc_error error = {0};
        list[i].size = sizeof list[i];
        if (clipc_model_get_tensor(model, i, &list[i], &error) != CLIPC_OK)
            quit_failed(&error);
    }
    return list;
}

/* Its index; `count` when there is none. The one at `hint` is looked at first: models list theirs in one order. */
static size_t find_tensor(const clipc_tensor_info *list, size_t count, const char *name, size_t hint)
{
    if (hint < count && strcmp(list[hint].name, name) == 0)
        return hint;
    size_t i = 0;
    while (i < count && strcmp(list[i].name, name) != 0)
        i++;
    return i;
}

static bool same_shape(const clipc_tensor_info *a, const clipc_tensor_info *b)
{
    return a->rank == b->rank && memcmp(a->shape, b->shape, a->rank * sizeof *a->shape) == 0;
}

static float *read_tensor(const clipc_model *model, size_t index, size_t count)
{
    clipc_error error = {0};
    float *values = reallocate(NULL, count, sizeof *values);
    if (clipc_model_read_tensor(model, index, values, &error) != CLIPC_OK)
        quit_failed(&error);
    return values;
}

static void compare_values(tensor_difference *tensor, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const double left = (double)a[i];
        const double right = (double)b[i];
        const bool alike = left == right || (isnan(left) && isnan(right));
        const double apart = alike ? 0 : isfinite(left - right) ? fabs(left - right) : INFINITY;
        tensor->largest = fmax(tensor->largest, apart);
        tensor->scale = fmax(tensor->scale, fabs(left));
    }
    tensor->compared = true;
}

static void add_tensor(model_difference *difference, const tensor_difference *tensor)
{
    difference->tensors = reallocate(difference->tensors, difference->tensor_count + 1, sizeof *difference->tensors);
    difference->tensors[difference->tensor_count++] = *tensor;
}

static void compare_pair(model_difference *difference, const inspected_model *a, size_t at_a, const inspected_model *b,
                         size_t at_b, tensor_difference *tensor)
{
    const bool same = same_shape(&tensor->a, &tensor->b);
    difference->common++;
    if (same && tensor->a.readable && tensor->b.readable) {
        float *left = read_tensor(a->model, at_a, tensor->a.count);
        float *right = read_tensor(b->model, at_b, tensor->b.count);
        compare_values(tensor, left, right, tensor->a.count);
        free(left);
        free(right);
    }
    if (same && tensor->compared && tensor->largest == 0 && tensor->a.bytes == tensor->b.bytes &&
        strcmp(tensor->a.dtype, tensor->b.dtype) == 0)
        difference->equal++;
    else
        add_tensor(difference, tensor);
}

/* Whether both were read from one file each, and these hold the same bytes. */
static bool is_same_file(const inspected_model *a, const inspected_model *b)
{
    uint64_t size_a = 0;
    uint64_t size_b = 0;
    if (a->info.file_count != 1 || b->info.file_count != 1 || !a->info.path[0] || !b->info.path[0])
        return false;
    const char *path_a = clipc_model_file(a->model, 0, &size_a);
    const char *path_b = clipc_model_file(b->model, 0, &size_b);
    FILE *file_a = size_a == size_b ? fopen(path_a, "re") : NULL;
    FILE *file_b = file_a ? fopen(path_b, "re") : NULL;
    static char block_a[BLOCK];
    static char block_b[BLOCK];
    bool same = file_b != NULL;
    for (size_t count = 1; same && count;) {
        count = fread(block_a, 1, BLOCK, file_a);
        same = fread(block_b, 1, BLOCK, file_b) == count && memcmp(block_a, block_b, count) == 0;
    }
    if (file_a)
        fclose(file_a);
    if (file_b)
        fclose(file_b);
    return same;
}

static void compare_tensors(model_difference *difference, const inspected_model *a, const inspected_model *b)
{
    const size_t count_a = clipc_model_tensor_count(a->model);
    const size_t count_b = clipc_model_tensor_count(b->model);
    if (count_a == count_b && is_same_file(a, b)) {
        difference->common = count_a;
        difference->equal = count_a;
        return;
    }
    clipc_tensor_info *list_a = list_tensors(a->model, count_a);
    clipc_tensor_info *list_b = list_tensors(b->model, count_b);
    for (size_t i = 0; i < count_a; i++) {
        const size_t other = find_tensor(list_b, count_b, list_a[i].name, i);
        tensor_difference tensor = {.in_a = true, .in_b = other < count_b, .a = list_a[i]};
        if (!tensor.in_b) {
            add_tensor(difference, &tensor);
            continue;
        }
        tensor.b = list_b[other];
        compare_pair(difference, a, i, b, other, &tensor);
    }
    for (size_t i = 0; i < count_b; i++) {
        const tensor_difference tensor = {.in_b = true, .b = list_b[i]};
        if (find_tensor(list_a, count_a, list_b[i].name, i) == count_a)
            add_tensor(difference, &tensor);
    }
    free(list_a);
    free(list_b);
}

/* ---- both ---- */

void model_difference_find(model_difference *difference, const inspected_model *a, const inspected_model *b)
{
    *difference = (model_difference){0};
    compare_fields(difference, a, b);
    compare_tensors(difference, a, b);
}

bool model_difference_is_none(const model_difference *difference)
{
    return difference->field_count == 0 && difference->tensor_count == 0;
}

void model_difference_free(model_difference *difference)
{
    for (size_t i = 0; i < difference->field_count; i++) {
        free(difference->fields[i].a);
        free(difference->fields[i].b);
    }
    free(difference->fields);
    free(difference->tensors);
}
