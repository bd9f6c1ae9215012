/* Batch sizes on the command line: "1,8,32". */
#ifndef CLIPC_TOOLS_SHAPES_H
#define CLIPC_TOOLS_SHAPES_H

#include "clipc/clipc.h"

#include <stddef.h>

#define MOST_SHAPES 64

typedef struct shape_list {
    size_t sizes[MOST_SHAPES];
    size_t count;
} shape_list;

/* Quits with STATUS_USAGE when it is no list of numbers from 1 to 4096. `option` is the option's name without the
 * dashes. When `list` is NULL, `otherwise` is taken. */
shape_list shapes_parse(const char *option, const char *list, const shape_list *otherwise);
size_t shapes_largest(const shape_list *shapes);
/* The smallest, the middle and the largest of them in order of size: the profile of an engine that serves them. */
clipc_batches shapes_profile(const shape_list *shapes);

#endif
