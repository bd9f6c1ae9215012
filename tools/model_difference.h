/* In what two models differ: what they say of themselves, and every tensor. */
#ifndef CLIPC_TOOLS_MODEL_DIFFERENCE_H
#define CLIPC_TOOLS_MODEL_DIFFERENCE_H

#include "clipc/tensors.h"

#include <stdbool.h>
#include <stddef.h>

/* A model, and what it would be computed in. */
typedef struct inspected_model {
    clipc_model *model;
    clipc_model_info info;
    clipc_engine_info engine;
} inspected_model;

typedef struct field_difference {
    const char *name; /* "image.layers" */
    char *a;
    char *b;
} field_difference;

typedef struct tensor_difference {
    bool in_a;
    bool in_b;
    clipc_tensor_info a; /* zeros when it is not there */
    clipc_tensor_info b;
    bool compared;  /* both have that shape, and values that can be read */
    double largest; /* |a − b|; infinite where one is no number and the other is */
    double scale;   /* the largest |a| */
} tensor_difference;

typedef struct model_difference {
    field_difference *fields; /* that differ */
    size_t field_count;
    tensor_difference *tensors; /* that differ, in the order of A, then those that B alone has */
    size_t tensor_count;
    size_t common; /* tensors that both have */
    size_t equal;  /* of these: in shape, type, bytes and values */
} model_difference;

/* Reads every tensor of both. Names, paths and files do not count. */
void model_difference_find(model_difference *difference, const inspected_model *a, const inspected_model *b);
bool model_difference_is_none(const model_difference *difference);
void model_difference_free(model_difference *difference);

void model_difference_print(const model_difference *difference);
void model_difference_print_json(const model_difference *difference, const char *a, const char *b);

#endif
