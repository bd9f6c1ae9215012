/* A recognised tower's weights as tensors. */
#ifndef CLIPC_ONNX_IMPORT_WEIGHTS_H
#define CLIPC_ONNX_IMPORT_WEIGHTS_H

#include "onnx/import.h"
#include "onnx/recognize.h"

/* Fills the tower's part of import->config and import->weights. */
clipc_status clipc_onnx_import_tower(clipc_onnx_import *import, clipc_onnx_interpreter *in,
                                     const clipc_onnx_tower *tower, clipc_error *error);

#endif
