/* Part of clipc's interface: what a model is made of, tensor by tensor. */
#ifndef CLIPC_TENSORS_H
#define CLIPC_TENSORS_H

#include "clipc/clipc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One tensor of the model. */
typedef struct clipc_tensor_info {
    size_t size;    /* sizeof(clipc_tensor_info), set by the caller */
    char name[128]; /* as transformers calls it, "vision_model.encoder.layers.3.mlp.fc1.weight", whatever the files say
                     */
    int image;      /* non-zero: of the image tower, else of the text tower */
    size_t rank;
    size_t shape[4];
    size_t count;      /* of elements */
    const char *dtype; /* as stored: "fp32", "fp16", "bf16", "int8" */
    uint64_t bytes;    /* as stored, but for the padding and scales of packed ones; 0 in an engine file for cuda, where
                          a tower is one block */
    int readable;      /* 0: clipc_model_read_tensor cannot say what it holds */
} clipc_tensor_info;

/* The tensors of both towers, the image tower first, but for the logit scale and bias. 0 for NULL. */
CLIPC_API size_t clipc_model_tensor_count(const clipc_model *model);
CLIPC_API clipc_status clipc_model_get_tensor(const clipc_model *model, size_t index, clipc_tensor_info *info,
                                              clipc_error *error);
/* All of its elements in row-major order as fp32, to `values` [count]: of an engine file of bf16 or int8 what the
 * rounded numbers stand for. CLIPC_ERROR_UNSUPPORTED when it is not readable, as packed convolutions, which have their
 * BatchNorm in them. */
CLIPC_API clipc_status clipc_model_read_tensor(const clipc_model *model, size_t index, float *values,
                                               clipc_error *error);
/* CRC-32 of the tokenizer in its packed form, equal for equal vocabularies and rules; 0 without a text tower. */
CLIPC_API uint32_t clipc_model_tokenizer_checksum(const clipc_model *model);

#ifdef __cplusplus
}
#endif

#endif
