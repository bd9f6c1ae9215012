/* How two models differ, for people and for scripts. */
#include "model_difference.h"

#include "columns.h"
#include "escape.h"
#include "json_line.h"
#include "message.h"
#include "output.h"
#include "tensor_set.h"

#include <stdlib.h>
#include <string.h>

/* ---- for people ---- */

static void print_fields(const model_difference *difference)
{
    size_t columns = strlen("field");
    for (size_t i = 0; i < difference->field_count; i++)
        columns = widest(columns, difference->fields[i].name);
    for (size_t i = 0; i < difference->field_count; i++) {
        char *a = escape_for_terminal(difference->fields[i].a);
        char *b = escape_for_terminal(difference->fields[i].b);
        print_padded(difference->fields[i].name, columns);
        print_format("A  %s\n", a);
        print_padded("", columns);
        print_format("B  %s\n", b);
        free(a);
        free(b);
    }
}

/* "768 × 3072", for all ranks. */
/* "fp16, 1179648 bytes"; the caller frees. */
static char *stored_text(bool there, const clipc_tensor_info *tensor)
{
    if (!there)
        return duplicate("none");
    char *shape = shape_text(tensor->shape, tensor->rank);
    char *text = tensor->bytes
                     ? format_text("%s %s, %llu bytes", tensor->dtype, shape, (unsigned long long)tensor->bytes)
                     : format_text("%s %s", tensor->dtype, shape);
    free(shape);
    return text;
}

static const char *name_of(const tensor_difference *tensor)
{
    return tensor->in_a ? tensor->a.name : tensor->b.name;
}

static void print_tensors(const model_difference *difference)
{
    size_t name_columns = strlen("tensor");
    size_t columns = 1;
    for (size_t i = 0; i < difference->tensor_count; i++) {
        const tensor_difference *tensor = &difference->tensors[i];
        char *a = stored_text(tensor->in_a, &tensor->a);
        name_columns = widest(name_columns, name_of(tensor));
        columns = widest(columns, a);
        free(a);
    }
    for (size_t i = 0; i < difference->tensor_count; i++) {
        const tensor_difference *tensor = &difference->tensors[i];
        char *a = stored_text(tensor->in_a, &tensor->a);
        char *b = stored_text(tensor->in_b, &tensor->b);
        if (i == 0) {
            print_padded("tensor", name_columns);
            print_padded("A", columns);
            print_padded("B", columns);
            print_text("largest |a − b|, of |a|\n");
        }
        print_padded(name_of(tensor), name_columns);
        print_padded(a, columns);
        print_padded(b, columns);
        if (tensor->compared)
            print_format("%.4g, %.4g\n", tensor->largest, tensor->scale);
        else
            print_text(tensor->in_a && tensor->in_b && tensor->a.count == tensor->b.count ? "not compared\n" : "\n");
        free(a);
        free(b);
    }
}

void model_difference_print(const model_difference *difference)
{
    print_fields(difference);
    if (difference->field_count && difference->tensor_count)
        print_text("\n");
    print_tensors(difference);
    if (!model_difference_is_none(difference))
        print_text("\n");
    print_format("%zu %s; of %zu tensors that both have, %zu equal", difference->field_count,
                 difference->field_count == 1 ? "field differs" : "fields differ", difference->common,
                 difference->equal);
    const size_t alone = difference->tensor_count - (difference->common - difference->equal);
    if (alone)
        print_format("; %zu in one alone", alone);
    print_text("\n");
    print_flush();
}

/* ---- for scripts ---- */

static json_t *tensor_to_json(bool there, const clipc_tensor_info *tensor)
{
    if (!there)
        return json_null();
    json_t *object = json_object();
    json_t *shape = json_array();
    for (size_t i = 0; i < tensor->rank; i++)
        json_append(shape, json_integer((json_int_t)tensor->shape[i]));
    json_put(object, "shape", shape);
    json_put(object, "dtype", json_string(tensor->dtype));
    json_put(object, "bytes", json_integer((json_int_t)tensor->bytes));
    return object;
}

/* An infinite difference has no number in JSON: null, as where values were not compared, but "compared" tells. */
void model_difference_print_json(const model_difference *difference, const char *a, const char *b)
{
    json_t *object = json_object();
    json_t *fields = json_array();
    json_t *tensors = json_array();
    for (size_t i = 0; i < difference->field_count; i++) {
        json_t *field = json_object();
        json_put(field, "field", json_string(difference->fields[i].name));
        json_put(field, "a", json_name(difference->fields[i].a));
        json_put(field, "b", json_name(difference->fields[i].b));
        json_append(fields, field);
    }
    for (size_t i = 0; i < difference->tensor_count; i++) {
        const tensor_difference *tensor = &difference->tensors[i];
        json_t *entry = json_object();
        json_put(entry, "name", json_name(name_of(tensor)));
        json_put(entry, "a", tensor_to_json(tensor->in_a, &tensor->a));
        json_put(entry, "b", tensor_to_json(tensor->in_b, &tensor->b));
        json_put(entry, "compared", json_boolean(tensor->compared));
        json_put(entry, "largest_difference", tensor->compared ? json_float((float)tensor->largest) : json_null());
        json_put(entry, "largest_value", tensor->compared ? json_float((float)tensor->scale) : json_null());
        json_append(tensors, entry);
    }
    json_put(object, "a", json_name(a));
    json_put(object, "b", json_name(b));
    json_put(object, "equal", json_boolean(model_difference_is_none(difference)));
    json_put(object, "fields", fields);
    json_put(object, "tensors", tensors);
    json_put(object, "common_tensors", json_integer((json_int_t)difference->common));
    json_put(object, "equal_tensors", json_integer((json_int_t)difference->equal));
    json_print(object);
}
