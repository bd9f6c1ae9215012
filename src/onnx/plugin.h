/* What clipc's TensorRT plugin (backend/tensorrt/layer_norm_plugin.cpp) and graphs that use it agree on. TensorRT's
 * parser looks plugins up by operator, plugin_version and plugin_namespace, whatever the domain; this domain is the
 * usual one. */
#ifndef CLIPC_ONNX_PLUGIN_H
#define CLIPC_ONNX_PLUGIN_H

#define CLIPC_ONNX_PLUGIN         "ClipcLayerNorm"
#define CLIPC_ONNX_PLUGIN_VERSION "1"
#define CLIPC_ONNX_PLUGIN_DOMAIN  "trt.plugins"

/* Numbers of a row that it serves. */
#define CLIPC_ONNX_PLUGIN_LEAST_WIDTH 64
#define CLIPC_ONNX_PLUGIN_MOST_WIDTH  8192

#endif
