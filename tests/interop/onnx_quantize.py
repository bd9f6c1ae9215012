"""Compares graphs of clipc export-onnx --quantize dynamic-quint8 with onnxruntime.quantization.

    onnx_quantize.py CLIPC MODEL...      a MODEL is a directory, or "demo"

The graph must hold the very integers, steps and zeros that quantize_dynamic(weight_type=QUInt8) makes of clipc's fp32
graph, pass onnx's checker, and in ONNX Runtime give what that one gives. Prints the least cosine of its embeddings with
those of the fp32 graph.
"""
import pathlib
import sys
import tempfile

import numpy
import onnx
import onnx.numpy_helper
import onnxruntime
import onnxruntime.quantization

from onnx_export import Model, unit


def integers(path):
    """Weights as bytes with step and zero, by shape, in an order that names have no part in."""
    found = []
    graph = onnx.load(path).graph
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in graph.initializer}
    for node in graph.node:
        if node.op_type in ("MatMulInteger", "ConvInteger"):
            zero, scale = arrays[node.input[3]], None
            product = next(n for n in graph.node if n.op_type == "Cast" and n.input[0] == node.output[0])
            scaled = next(n for n in graph.node if n.op_type == "Mul" and product.output[0] in n.input)
            steps = next(n for n in graph.node if n.output and n.output[0] in scaled.input and n.op_type == "Mul")
            scale = next(arrays[name] for name in steps.input if name in arrays)
            found.append((arrays[node.input[1]], float(scale), int(zero)))
        elif node.op_type == "DequantizeLinear":
            rows = next(n for n in graph.node if n.output[0] == node.input[0])
            found.append((arrays[rows.input[0]], float(arrays[node.input[1]]), int(arrays[node.input[2]])))
    return found


def run(path, batch):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return unit(session.run(None, {"input": batch})[0])


def compare(model, name, batch, folder):
    for target, options in (("fp32", []), ("quint8", ["--quantize", "dynamic-quint8"])):
        model.run("export-onnx", "--out-dir", str(folder / target), *options)
    reference = folder / "reference.onnx"
    onnxruntime.quantization.quantize_dynamic(str(folder / "fp32" / name), str(reference),
                                              weight_type=onnxruntime.quantization.QuantType.QUInt8)
    ours = folder / "quint8" / name
    onnx.checker.check_model(str(ours), full_check=True)
    mine, theirs = integers(ours), integers(reference)
    assert len(mine) == len(theirs) > 0, (len(mine), len(theirs))
    for (a, step, zero), (b, other_step, other_zero) in zip(mine, theirs):
        assert a.shape == b.shape and (a == b).all() and step == other_step and zero == other_zero, a.shape
    rows, expected = run(ours, batch), run(reference, batch)
    difference = float(numpy.abs(rows - expected).max())
    cosine = float((rows * run(folder / "fp32" / name, batch)).sum(axis=1).min())
    if difference > 1e-5:
        sys.exit(f"{name}: differs by {difference:.2e} from the graph that quantize_dynamic makes")
    return len(mine), difference, cosine


def main():
    clipc, names = sys.argv[1], sys.argv[2:]
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            model = Model(clipc, name, folder)
            length = onnx_length(model, folder)
            for file, batch in (("clip_visual.onnx", model.pixels),
                                ("clip_textual.onnx", model.padded_ids(length, numpy.int64))):
                count, difference, cosine = compare(model, file, batch, folder)
                print(f"{pathlib.Path(name).name:16} {file:18} {count} integer weights equal, outputs within "
                      f"{difference:.1e}, cosine to fp32 {cosine:.5f}", flush=True)


def onnx_length(model, folder):
    model.run("export-onnx", "--out-dir", str(folder / "fp32"), "--textual-only")
    return onnx.load(folder / "fp32" / "clip_textual.onnx").graph.input[0].type.tensor_type.shape.dim[1].dim_value


if __name__ == "__main__":
    main()
