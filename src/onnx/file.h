/* An ONNX file, read: its nodes as protobuf-c has them, its stored arrays where they lie, its metadata. Nothing of it
 * is believed beyond this: names may be missing, nodes may be in any order. */
#ifndef CLIPC_ONNX_FILE_H
#define CLIPC_ONNX_FILE_H

#include "onnx/arena.h"
#include "onnx/constant.h"
#include "onnx/external.h"

#include "onnx.pb-c.h"

typedef struct clipc_onnx_file {
    const char *name; /* what messages call the file */
    Onnx__NodeProto **nodes;
    size_t node_count;
    clipc_onnx_constant **arrays;
    size_t array_count;
    Onnx__ValueInfoProto **inputs;
    size_t input_count;
    Onnx__ValueInfoProto **outputs;
    size_t output_count;
    Onnx__StringStringEntryProto **metadata;
    size_t metadata_count;
    size_t array_bytes;     /* of all stored arrays together */
    clipc_onnx_arena arena; /* everything but the arrays' large data */
    clipc_onnx_external external;
} clipc_onnx_file;

/* `bytes` and `name` outlive the file. Always free with clipc_onnx_file_free, also after a failure. */
clipc_status clipc_onnx_file_read(const uint8_t *bytes, size_t size, const char *name,
                                  const clipc_onnx_external *external, clipc_onnx_file *out, clipc_error *error);
void clipc_onnx_file_free(clipc_onnx_file *file);
/* NULL when there is none of that key. */
const char *clipc_onnx_file_metadata(const clipc_onnx_file *file, const char *key);

/* One stored array: a field of the graph, or `message` of a Constant node. */
clipc_status clipc_onnx_file_array(clipc_onnx_file *file, const uint8_t *bytes, size_t size, clipc_onnx_constant **out,
                                   clipc_error *error);
clipc_status clipc_onnx_file_array_of(clipc_onnx_file *file, const Onnx__TensorProto *message,
                                      clipc_onnx_constant **out, clipc_error *error);

/* A message of which the fields that `keep` has a bit for go to protobuf-c; NULL with *error set. */
void *clipc_onnx_file_unpack(clipc_onnx_file *file, const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
                             size_t size, uint64_t keep, clipc_error *error);

#endif
