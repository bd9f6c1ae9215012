/* A model as a directory of transformers: its files one after the other, the weights a piece at a time. */
#ifndef CLIPC_MODEL_DIRECTORY_WRITE_H
#define CLIPC_MODEL_DIRECTORY_WRITE_H

#include "model/model.h"

/* Where a directory goes, and how the packed weights of an engine file are read. */
typedef struct clipc_directory_sink {
    clipc_file_function begin;
    clipc_write_function write;
    void *user;
    /* Fills `values` with a tensor whose slot has no data. Never called for a model whose weights all have. */
    clipc_status (*unpack)(const clipc_model *model, const clipc_slot *slot, float *values, clipc_error *error);
} clipc_directory_sink;

/* Writes config.json, model.safetensors, preprocessor_config.json, the tokenizer's files, clipc.json and the card.
 * `dtype` is F32, F16 or BF16. The weights are finite. */
clipc_status clipc_directory_write(const clipc_model *model, clipc_dtype dtype, const clipc_directory_sink *sink,
                                   clipc_error *error);
/* The dtype that all weights have, or else F32, which holds those of all. */
clipc_dtype clipc_directory_dtype(const clipc_model *model);

#endif
