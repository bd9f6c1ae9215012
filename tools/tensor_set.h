/* Named arrays of floats: what two models are compared by. */
#ifndef CLIPC_TOOLS_TENSOR_SET_H
#define CLIPC_TOOLS_TENSOR_SET_H

#include "clipc/clipc.h"

#include <stdbool.h>

#define TENSOR_RANK 8

typedef struct named_tensor {
    char *name;
    size_t shape[TENSOR_RANK];
    size_t rank;
    float *values;
    size_t count; /* product of the shape */
} named_tensor;

typedef struct tensor_set {
    named_tensor *items;
    size_t count;
} tensor_set;

/* Takes over `values`. A name that is there already gets more rows, of the same width. */
void tensor_set_add(tensor_set *set, const char *name, const size_t *shape, size_t rank, float *values);
/* NULL when there is none of that name. */
const named_tensor *tensor_set_find(const tensor_set *set, const char *name);
void tensor_set_free(tensor_set *set);

/* A tap (clipc_engine_set_tap) whose user is a tensor_set: rows of the same name are put one after the other. */
void tensor_set_tap(void *user, const clipc_tap *tap);

/* Whether the operand names tensors in place of a model: a .npz or .npy file, or a directory that holds such files and
 * no model. */
bool tensor_set_is_operand(const char *path);
/* Reads them, as fp32; a .npy file gives one array of the file's name. Quits with STATUS_SYSTEM when that fails. */
void tensor_set_read(tensor_set *set, const char *path);
/* Calls `use` with each file that it reads of `path`. */
void tensor_set_each_file(const char *path, void (*use)(void *context, const char *file), void *context);

/* One line of a shape, "4 × 256", that the caller frees. */
char *shape_text(const size_t *shape, size_t rank);
char *tensor_shape_text(const named_tensor *tensor);
/* Length of the last axis; 1 of a scalar. */
size_t tensor_width(const named_tensor *tensor);

#endif
