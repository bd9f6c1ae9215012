#include "onnx/value_table.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const clipc_onnx_value_entry *x = a;
    const clipc_onnx_value_entry *y = b;
    const int order = strcmp(x->name, y->name);
    /* of one name, the array first and then nodes in their order */
    return order ? order : (x->maker + 1 > y->maker + 1) - (x->maker + 1 < y->maker + 1);
}

static clipc_onnx_value_entry *find(const clipc_onnx_value_table *table, const char *name)
{
    size_t begin = 0;
    size_t end = table->count;
    while (name && begin < end) {
        const size_t middle = begin + (end - begin) / 2;
        const int order = strcmp(name, table->entries[middle].name);
        if (order == 0)
            return &table->entries[middle];
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return NULL;
}

static void add(clipc_onnx_value_table *table, const char *name, size_t maker, const Onnx__TensorProto *array)
{
    if (name && name[0])
        table->entries[table->count++] =
            (clipc_onnx_value_entry){.name = name, .maker = maker, .reader = CLIPC_ONNX_NOBODY, .array = array};
}

/* One entry a name: the last maker's, with the array if there is one. */
static void merge_same_names(clipc_onnx_value_table *table)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        const clipc_onnx_value_entry *entry = &table->entries[i];
        if (kept && strcmp(table->entries[kept - 1].name, entry->name) == 0) {
            table->entries[kept - 1].maker = entry->maker;
            continue;
        }
        table->entries[kept++] = *entry;
    }
    table->count = kept;
}

static void count_use(const clipc_onnx_value_table *table, const char *name, size_t reader)
{
    clipc_onnx_value_entry *entry = find(table, name);
    if (!entry)
        return;
    entry->uses++;
    if (reader != CLIPC_ONNX_NOBODY)
        entry->reader = reader;
}

clipc_status clipc_onnx_value_table_create(const Onnx__GraphProto *graph, clipc_onnx_arena *arena,
                                           clipc_onnx_value_table *out)
{
    size_t most = graph->n_initializer;
    for (size_t i = 0; i < graph->n_node; i++)
        most += graph->node[i]->n_output;
    *out = (clipc_onnx_value_table){.entries = clipc_onnx_arena_cut(arena, most, sizeof *out->entries)};
    if (!out->entries)
        return arena->status;
    for (size_t i = 0; i < graph->n_initializer; i++)
        add(out, graph->initializer[i]->name, CLIPC_ONNX_NOBODY, graph->initializer[i]);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t j = 0; j < graph->node[i]->n_output; j++)
            add(out, graph->node[i]->output[j], i, NULL);
    qsort(out->entries, out->count, sizeof *out->entries, by_name);
    merge_same_names(out);
    for (size_t i = 0; i < graph->n_node; i++)
        for (size_t j = 0; j < graph->node[i]->n_input; j++)
            count_use(out, graph->node[i]->input[j], i);
    for (size_t i = 0; i < graph->n_output; i++)
        count_use(out, graph->output[i]->name, CLIPC_ONNX_NOBODY);
    return CLIPC_OK;
}

const clipc_onnx_value_entry *clipc_onnx_value_table_find(const clipc_onnx_value_table *table, const char *name)
{
    return name && name[0] ? find(table, name) : NULL;
}

void clipc_onnx_value_table_drop(const clipc_onnx_value_table *table, const char *name)
{
    clipc_onnx_value_entry *entry = find(table, name);
    if (entry && entry->uses)
        entry->uses--;
}
