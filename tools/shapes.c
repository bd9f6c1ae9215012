#include "shapes.h"

#include "message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_BATCH 4096

shape_list shapes_parse(const char *option, const char *list, const shape_list *otherwise)
{
    shape_list shapes = {0};
    if (!list)
        return *otherwise;
    for (const char *at = list;; at++) {
        char *end = NULL;
        errno = 0;
        const unsigned long long number = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || (*end && *end != ','))
            quit(STATUS_USAGE, "--%s: '%s' is not a batch size or a list of them (1,8,32)", option, list);
        if (errno == ERANGE || number < 1 || number > LARGEST_BATCH)
            quit(STATUS_USAGE, "--%s: %.*s is out of range (1 to %d)", option, (int)(end - at), at, LARGEST_BATCH);
        if (shapes.count == MOST_SHAPES)
            quit(STATUS_USAGE, "--%s: more than %d batch sizes", option, MOST_SHAPES);
        shapes.sizes[shapes.count++] = (size_t)number;
        at = end;
        if (!*at)
            return shapes;
    }
}

size_t shapes_largest(const shape_list *shapes)
{
    size_t largest = 0;
    for (size_t i = 0; i < shapes->count; i++)
        largest = shapes->sizes[i] > largest ? shapes->sizes[i] : largest;
    return largest;
}

static int compare_sizes(const void *a, const void *b)
{
    const size_t left = *(const size_t *)a;
    const size_t right = *(const size_t *)b;
    return left < right ? -1 : left > right;
}

clipc_batches shapes_profile(const shape_list *shapes)
{
    size_t sorted[MOST_SHAPES];
    memcpy(sorted, shapes->sizes, sizeof sorted);
    qsort(sorted, shapes->count, sizeof *sorted, compare_sizes);
    return (clipc_batches){sorted[0], sorted[shapes->count / 2], sorted[shapes->count - 1]};
}
