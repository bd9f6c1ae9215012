"""Graphs that use clipc's TensorRT plugin: what they compute, by onnx's reference evaluator with the plugin's formula, and
the plugin library in the plugin registry of TensorRT-RTX, where that is installed.

    onnx_plugin.py CLIPC [libclipc_trt_plugins.so]

No TensorRT engine runs here: that needs a GPU and TensorRT itself. The kernel's own test is tests/device/check_layer_norm.c.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

LIMIT = 2e-5  # of the outputs' largest value


class ClipcLayerNorm(OpRun):
    op_domain = "trt.plugins"

    def _run(self, x, weight, bias, axis=-1, epsilon=1e-5, **_):
        wide = x.astype(numpy.float64)
        mean = wide.mean(axis=axis, keepdims=True)
        variance = ((wide - mean) ** 2).mean(axis=axis, keepdims=True)
        return (((wide - mean) / numpy.sqrt(variance + epsilon) * weight + bias).astype(x.dtype),)


def nodes(model, operator):
    return sum(node.op_type == operator for node in model.graph.node)


def compare(name, plain, plugin, norms, inputs):
    plain, plugin = onnx.load(plain), onnx.load(plugin)
    onnx.checker.check_model(plugin)
    if nodes(plugin, "ClipcLayerNorm") != norms or nodes(plugin, "LayerNormalization") or nodes(plugin, "Sqrt"):
        raise SystemExit(f"{name}: {nodes(plugin, 'ClipcLayerNorm')} plugin nodes, not {norms}, or LayerNorms are left")
    expected = ReferenceEvaluator(plain).run(None, inputs)[0]
    got = ReferenceEvaluator(plugin, new_ops=[ClipcLayerNorm]).run(None, inputs)[0]
    difference = numpy.abs(got - expected).max() / numpy.abs(expected).max()
    print(f"{name}: {norms} LayerNorms, largest difference {difference:.1e}")
    if not difference <= LIMIT:
        raise SystemExit(f"{name}: differs by {difference:.1e}, more than {LIMIT}")


def own_graphs(clipc, folder):
    pixels = numpy.random.default_rng(0).standard_normal((1, 3, 96, 96), dtype=numpy.float32)
    size = onnx.load(export(clipc, folder / "size")).graph.input[0].type.tensor_type.shape.dim[2].dim_value
    pixels = numpy.resize(pixels, (1, 3, size, size)).astype(numpy.float32)
    for opset in (12, 17):
        plain = export(clipc, folder / f"plain{opset}", "--opset", str(opset))
        direct = export(clipc, folder / f"plugin{opset}", "--opset", str(opset), "--layernorm", "plugin")
        norms = nodes(onnx.load(direct), "ClipcLayerNorm")
        compare(f"export-onnx --layernorm plugin, opset {opset}", plain, direct, norms, {"input": pixels})
        replaced = folder / f"replaced{opset}.onnx"
        subprocess.run([clipc, "onnx", "replace-layernorm", plain, replaced, "--quiet"], check=True)
        compare(f"onnx replace-layernorm, opset {opset}", plain, replaced, norms, {"input": pixels})


def export(clipc, folder, *options):
    subprocess.run([clipc, "export-onnx", "--quiet", "--visual-only", "--out-dir", folder, *options], check=True)
    return folder / "clip_visual.onnx"


def foreign_graphs(clipc, folder):
    """transformers' image tower, as PyTorch's exporters write it before and after LayerNormalization."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
                              image_size=32, patch_size=16, projection_dim=32)
    model = CLIPVisionModelWithProjection(config).eval()
    pixels = torch.randn(1, 3, 32, 32)
    for opset, options in ((14, {"dynamo": False}), (17, {"dynamo": False}), (18, {"dynamo": True})):
        plain, replaced = folder / f"foreign{opset}.onnx", folder / f"foreign_replaced{opset}.onnx"
        torch.onnx.export(model, (pixels,), str(plain), opset_version=opset, input_names=["input"], **options)
        subprocess.run([clipc, "onnx", "replace-layernorm", plain, replaced, "--quiet"], check=True)
        compare(f"transformers' tower by torch.onnx, opset {opset}", plain, replaced, 6, {"input": pixels.numpy()})


def registry(library):
    """The real library in a real registry, and plugins made from each field."""
    try:
        import tensorrt_rtx_bindings as tensorrt
    except ImportError:
        print("the registry: TensorRT-RTX's bindings are not installed, nothing was tried")
        return
    whole = (numpy.int32, tensorrt.PluginFieldType.INT32)
    real = (numpy.float32, tensorrt.PluginFieldType.FLOAT32)
    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    known = tensorrt.get_plugin_registry()
    handle = known.load_library(str(library))
    creator = known.get_creator("ClipcLayerNorm", "1", "")
    names = [field.name for field in creator.field_names]
    if names != ["axis", "epsilon", "type", "residual"]:
        raise SystemExit(f"the creator has the fields {names}")

    def create(*fields):
        listed = [tensorrt.PluginField(name, numpy.array([value], dtype=kind[0]), kind[1])
                  for name, value, kind in fields]
        return creator.create_plugin("norm", tensorrt.PluginFieldCollection(listed), tensorrt.TensorRTPhase.BUILD)

    good = [[], [("axis", -1, whole)], [("epsilon", 1e-6, real)], [("type", 0, whole)], [("type", 1, whole)],
            [("type", 7, whole)], [("residual", 1, whole)],
            [("axis", 1, whole), ("epsilon", 1e-5, real), ("type", 7, whole), ("residual", 1, whole)]]
    bad = [[("type", 2, whole)], [("epsilon", 1, whole)], [("epsilon", -1, real)], [("residual", 2, whole)]]
    for fields in good:
        if create(*fields) is None:
            raise SystemExit(f"no plugin of {fields}")
    for fields in bad:
        if create(*fields) is not None:
            raise SystemExit(f"a plugin of {fields}")
    known.deregister_library(handle)
    del logger
    print(f"the registry of TensorRT-RTX {tensorrt.__version__}: loaded {library.name}, {len(good)} plugins made, "
          f"{len(bad)} refused")


def main():
    clipc = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        own_graphs(clipc, pathlib.Path(folder))
        foreign_graphs(clipc, pathlib.Path(folder))
    if len(sys.argv) > 2:
        registry(pathlib.Path(sys.argv[2]).resolve())
    else:
        print("the registry: no plugin library was given, nothing was tried")


if __name__ == "__main__":
    main()
