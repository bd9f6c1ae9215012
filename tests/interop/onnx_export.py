"""Runs exported graphs in ONNX Runtime and OpenVINO, and compares with clipc's own fp32 embeddings.

    onnx_export.py CLIPC MODEL...        a MODEL is a directory, "demo", or "siglip": one made for the occasion

Each graph passes onnx's checker with full shape inference. Unit embeddings at batch 1, 3 and 8 agree within 1e-4 for
fp32 graphs; for fp16 graphs the cosine is at least 0.999.
"""
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
import openvino

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLES = sorted(map(str, (ROOT / "models" / "demo" / "samples").glob("*.png")))[:8]
TEXTS = ["a photo of a cat", "", "two green triangles", "naïve café 東京", "1234567890", "a dog", "a long text " * 40, "x"]
BATCHES = [1, 3, 8]
LIMIT = 1e-4
FP16_COSINE = 0.999
VARIANTS = [
    [], ["--no-fold"], ["--normalize"], ["--external-data"], ["--token-type", "int32"],
    ["--dynamic-axes", "input:0=N,output:0=N", "--visual-input-name", "pixels", "--textual-output-name", "embedding"],
    *(["--opset", str(opset)] for opset in range(12, 21)),
    ["--opset", "18", "--normalize", "--no-fold"],
    ["--dtype", "fp16"], ["--dtype", "fp16", "--opset", "13"],
]


def unit(rows):
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


class Model:
    """What clipc makes of the inputs, once a model."""

    def __init__(self, clipc, name, folder):
        self.clipc, self.folder = clipc, folder
        self.arguments = [] if name == "demo" else ["--model", name]
        self.run("preprocess", *SAMPLES, "-o", str(folder / "pixels.npy"))
        self.pixels = numpy.load(folder / "pixels.npy")
        self.images = self.embed("image", SAMPLES)
        self.texts = self.embed("text", TEXTS)
        lines = self.run("tokenize", *TEXTS).splitlines()
        self.ids = [json.loads(line) for line in lines]

    def run(self, command, *arguments):
        return subprocess.run([self.clipc, command, *self.arguments, "--quiet", *arguments], check=True,
                              stdout=subprocess.PIPE).stdout

    def embed(self, kind, inputs):
        out = self.folder / "rows.npy"
        self.run("embed", kind, "-o", str(out), "--precision", "fp32", *inputs)
        return numpy.load(out)

    def padded_ids(self, length, dtype):
        padded = numpy.zeros((len(self.ids), length), dtype)
        for row, ids in zip(padded, self.ids):
            row[:len(ids)] = ids
        return padded


def runners(path):
    """Functions from a batch to embeddings, with the input's type and shape."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = session.get_inputs()[0].name
    yield "ONNX Runtime", session.get_inputs()[0], lambda batch: session.run(None, {name: batch})[0]
    yield "OpenVINO", session.get_inputs()[0], lambda batch: compiled(batch)[0]


def compare(model, path, fp16):
    """The largest difference over runtimes and batches; fails when one is beyond the limit."""
    onnx.checker.check_model(str(path), full_check=True)
    worst = 0.0
    text = "textual" in path.name
    for (runtime, node, run), batch in itertools.product(list(runners(path)), BATCHES):
        whole = model.pixels
        if text:
            whole = model.padded_ids(node.shape[1], numpy.int32 if "int32" in node.type else numpy.int64)
        rows = unit(run(whole[:batch]))
        expected = (model.texts if text else model.images)[:batch]
        difference = float(numpy.abs(rows - expected).max())
        cosine = float((rows * expected).sum(axis=1).min())
        if (cosine < FP16_COSINE) if fp16 else (difference > LIMIT):
            sys.exit(f"{path.name} in {runtime}, batch {batch}: difference {difference:.2e}, cosine {cosine:.6f}")
        worst = max(worst, difference)
    return worst


def make_siglip(folder):
    import siglip_sources
    import torch

    (folder / "siglip").mkdir()
    siglip_sources.siglip(torch.float32, siglip_sources.unigram)(folder / "siglip")
    return str(folder / "siglip")


def main():
    clipc, names = sys.argv[1], sys.argv[2:]
    for name in names:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            if name == "siglip":
                name = make_siglip(folder)
            model = Model(clipc, name, folder)
            for variant in VARIANTS:
                model.run("export-onnx", "--out-dir", str(folder / "graphs"), *variant)
                worst = [compare(model, folder / "graphs" / file, "fp16" in variant)
                         for file in ("clip_visual.onnx", "clip_textual.onnx")]
                print(f"{pathlib.Path(name).name:16} image {worst[0]:.1e}, text {worst[1]:.1e}  {' '.join(variant)}",
                      flush=True)


if __name__ == "__main__":
    main()
