/* Who makes and who reads each value of a graph. */
#ifndef CLIPC_ONNX_VALUE_TABLE_H
#define CLIPC_ONNX_VALUE_TABLE_H

#include "onnx/arena.h"

#include "onnx.pb-c.h"

#include <stdbool.h>

#define CLIPC_ONNX_NOBODY SIZE_MAX

typedef struct clipc_onnx_value_entry {
    const char *name;
    size_t maker;                   /* index of the node that makes it; CLIPC_ONNX_NOBODY: none does */
    size_t reader;                  /* index of the last node that reads it; or CLIPC_ONNX_NOBODY */
    size_t uses;                    /* by inputs of nodes and as outputs of the graph */
    const Onnx__TensorProto *array; /* the initializer of that name; or NULL */
} clipc_onnx_value_entry;

typedef struct clipc_onnx_value_table {
    clipc_onnx_value_entry *entries; /* by name */
    size_t count;
} clipc_onnx_value_table;

/* The entries are the arena's. Names may be missing from the graph, and may be there twice: a value that two nodes
 * make belongs to the last. */
clipc_status clipc_onnx_value_table_create(const Onnx__GraphProto *graph, clipc_onnx_arena *arena,
                                           clipc_onnx_value_table *out);
/* NULL when no node or array makes a value of that name, or the name is NULL or empty. */
const clipc_onnx_value_entry *clipc_onnx_value_table_find(const clipc_onnx_value_table *table, const char *name);
/* One reader of it is gone. */
void clipc_onnx_value_table_drop(const clipc_onnx_value_table *table, const char *name);

#endif
