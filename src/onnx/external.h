/* Where the weights of a graph lie that are not in its own file. */
#ifndef CLIPC_ONNX_EXTERNAL_H
#define CLIPC_ONNX_EXTERNAL_H

#include "base/error.h"

/* Finds a file that lies beside the graph; `location` is a relative path without "..". The bytes stay the owner's. */
typedef clipc_status (*clipc_onnx_external_function)(void *user, const char *location, const uint8_t **bytes,
                                                     size_t *size, clipc_error *error);

typedef struct clipc_onnx_external {
    clipc_onnx_external_function find;
    void *user;
} clipc_onnx_external;

#endif
