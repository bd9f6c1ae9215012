/* The named tensors of a weight file, whatever its format. */
#ifndef CLIPC_IO_TENSOR_TABLE_H
#define CLIPC_IO_TENSOR_TABLE_H

#include "io/tensor.h"

/* Views of tensors that the file's reader owns. */
typedef struct clipc_tensor_table {
    const clipc_tensor **by_name; /* [count], sorted by strcmp */
    size_t count;
} clipc_tensor_table;

void clipc_tensor_table_sort(clipc_tensor_table *table);
/* NULL when there is none of that name. */
const clipc_tensor *clipc_tensor_table_find(const clipc_tensor_table *table, const char *name);

#endif
