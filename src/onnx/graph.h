/* A graph under construction: nodes are added one after the other, each named by what it makes, and weights stay where
 * they are until the graph is written. The first failure sticks: what is added after it is passed over, and
 * clipc_onnx_graph_write returns it. So a tower reads as a list of operations. */
#ifndef CLIPC_ONNX_GRAPH_H
#define CLIPC_ONNX_GRAPH_H

#include "base/error.h"
#include "io/tensor.h"
#include "onnx.pb-c.h"

#include <stdbool.h>

/* Where a value comes from: its name in the graph. It lives as long as the graph. */
typedef const char *clipc_onnx_value;

/* How a weight differs from the tensor that it is a view of. */
typedef enum clipc_onnx_layout {
    CLIPC_ONNX_AS_STORED,
    CLIPC_ONNX_TRANSPOSED /* a matrix [a, b] as [b, a] */
} clipc_onnx_layout;

typedef struct clipc_onnx_weight {
    const clipc_tensor *tensor;
    clipc_onnx_layout layout;
    clipc_dtype dtype; /* F32, F16, or U8: round(value / step) + zero */
    float step;
    uint8_t zero;
    size_t bytes;
} clipc_onnx_weight;

/* Bytes that stand for numbers: number = (byte - zero) × step. */
typedef struct clipc_onnx_bytes {
    clipc_onnx_value of; /* what they were made of, or NULL */
    clipc_onnx_value bytes;
    clipc_onnx_value step;
    clipc_onnx_value zero;
} clipc_onnx_bytes;

/* Writes the numbers of a weight that has no data to `values`. */
typedef clipc_status (*clipc_onnx_unpack_function)(const void *user, const clipc_tensor *tensor, float *values,
                                                   clipc_error *error);

typedef struct clipc_onnx_graph {
    unsigned opset;
    clipc_dtype dtype;      /* of the arithmetic: F32 or F16 */
    bool integers;          /* weights are bytes, and so become what they are multiplied with */
    bool layer_norm_plugin; /* LayerNorm is the operator of clipc's TensorRT plugin */
    bool fold;              /* store weights the way the operators read them, instead of transposing in the graph */
    clipc_onnx_unpack_function unpack; /* for weights that have no data, or NULL */
    const void *unpack_user;
    /* what follows belongs to graph.c and graph_write.c */
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    struct clipc_onnx_block *memory;
    size_t node_capacity, tensor_capacity, weight_capacity, metadata_capacity;
    clipc_onnx_weight *weights;
    char *weight_marks; /* the address of mark i, as raw data, stands for weight i until it is written */
    size_t weight_count;
    clipc_onnx_bytes last_bytes; /* of an activation */
    clipc_status status;
    clipc_error *error;
} clipc_onnx_graph;

/* At most `weights` weights will be added. `error` receives the first failure. Released by clipc_onnx_graph_free. */
void clipc_onnx_graph_init(clipc_onnx_graph *graph, const char *name, unsigned opset, size_t weights,
                           clipc_error *error);
void clipc_onnx_graph_free(clipc_onnx_graph *graph);

/* A formatted string that lives as long as the graph. */
__attribute__((format(printf, 2, 3))) const char *clipc_onnx_text(clipc_onnx_graph *graph, const char *format, ...);

/* ---- values ---- */

/* A side of an input or output: `name` when it may vary, else `size`. */
typedef struct clipc_onnx_side {
    size_t size;
    const char *name; /* or NULL */
} clipc_onnx_side;

clipc_onnx_value clipc_onnx_input(clipc_onnx_graph *graph, const char *name, int element_type,
                                  const clipc_onnx_side *sides, size_t rank);
void clipc_onnx_output(clipc_onnx_graph *graph, const char *name, const clipc_onnx_side *sides, size_t rank);
/* A weight, which must live as long as the graph. `dtype` is F32 or F16; a value that fp16 does not hold fails. */
clipc_onnx_value clipc_onnx_weight_value(clipc_onnx_graph *graph, const char *name, const clipc_tensor *tensor,
                                         clipc_onnx_layout layout, clipc_dtype dtype);
/* The same as bytes, by one step for the whole weight, as onnxruntime.quantization finds it for QUInt8: from the least
 * to the largest number, zero among them, in 255 steps. Reads the weight. */
clipc_onnx_bytes clipc_onnx_weight_bytes(clipc_onnx_graph *graph, const char *name, const clipc_tensor *tensor,
                                         clipc_onnx_layout layout);
clipc_onnx_value clipc_onnx_integers(clipc_onnx_graph *graph, const char *name, const int64_t *values, size_t count);
/* fp32 numbers of any shape, stored in the graph's type. */
clipc_onnx_value clipc_onnx_numbers(clipc_onnx_graph *graph, const char *name, const float *values,
                                    const size_t *shape, size_t rank);
clipc_onnx_value clipc_onnx_scalar(clipc_onnx_graph *graph, const char *name, float value);

/* ---- nodes ---- */

/* An operator with one output, which is called `output`. Inputs end with NULL. */
clipc_onnx_value clipc_onnx_node(clipc_onnx_graph *graph, const char *operator, const char * output,
                                 const clipc_onnx_value *inputs);
#define CLIPC_ONNX_NODE(graph, operator, output, ...)                                                                 \
    clipc_onnx_node(graph, operator, output, (const clipc_onnx_value[]){__VA_ARGS__, NULL})
/* One more output of the node added last. */
clipc_onnx_value clipc_onnx_another_output(clipc_onnx_graph *graph, const char *output);
/* Attributes of the node added last. */
void clipc_onnx_set_integer(clipc_onnx_graph *graph, const char *name, int64_t value);
void clipc_onnx_set_float(clipc_onnx_graph *graph, const char *name, float value);
void clipc_onnx_set_integers(clipc_onnx_graph *graph, const char *name, const int64_t *values, size_t count);
void clipc_onnx_set_string(clipc_onnx_graph *graph, const char *name, const char *value);
/* The operator of the node added last is not ONNX's but `domain`'s, of version 1. All nodes agree on one domain. */
void clipc_onnx_set_domain(clipc_onnx_graph *graph, const char *domain);

void clipc_onnx_metadata(clipc_onnx_graph *graph, const char *key, const char *value);

/* The weight itself, or one with its numbers in *block, to be freed with clipc_free_aligned. */
clipc_status clipc_onnx_unpack(const clipc_onnx_graph *graph, const clipc_tensor *tensor, clipc_tensor *out,
                               float **block, clipc_error *error);

/* ---- writing ---- */

/* Front to back. With `external` not NULL weights of more than a kilobyte go there instead, and the graph refers to
 * them by the file name `external_name`, which lies beside it. Protocol buffers end at 2 GiB: a longer graph without
 * `external` is CLIPC_ERROR_LIMIT. */
clipc_status clipc_onnx_graph_write(clipc_onnx_graph *graph, clipc_write_function write, void *user,
                                    clipc_write_function external, void *external_user, const char *external_name);

#endif
