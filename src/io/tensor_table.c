#include "io/tensor_table.h"

#include <stdlib.h>
#include <string.h>

static int compare_names(const void *left, const void *right)
{
    const clipc_tensor *const *a = left;
    const clipc_tensor *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

void clipc_tensor_table_sort(clipc_tensor_table *table)
{
    qsort(table->by_name, table->count, sizeof *table->by_name, compare_names);
}

const clipc_tensor *clipc_tensor_table_find(const clipc_tensor_table *table, const char *name)
{
    size_t low = 0;
    size_t high = table->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, table->by_name[middle]->name);
        if (order == 0)
            return table->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
