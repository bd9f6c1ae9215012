"""A ResNet CLIP's image tower in clipc beside ONNX Runtime and PyTorch on this machine's CPU, in one run.

    python bench/resnet_peers.py --clipc build/clipc [--arch RN50] [--batches 1,32] [--alternations 5] [--seconds 3]

Needs torch, onnx, onnxruntime and open_clip_torch. The model is open_clip's own with random weights, saved
as its state dict for clipc and exported by torch.onnx for ONNX Runtime. Every contestant takes its turn in each
alternation, on all the process's cores; the table gives medians, and of clipc's embeddings of one batch the smallest
cosine to PyTorch's fp32 and the largest difference of a component.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time
import warnings

THREADS = len(os.sched_getaffinity(0))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
warnings.filterwarnings("ignore")

import numpy  # noqa: E402
import onnxruntime  # noqa: E402
import open_clip  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

torch.set_num_threads(THREADS)
torch.set_grad_enabled(False)
SAMPLES = sorted((pathlib.Path(__file__).resolve().parents[1] / "models" / "demo" / "samples").glob("*.png"))[:4]


def make_model(name):
    """open_clip starts with blocks that add nothing; here they do, and BatchNorm has statistics."""
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None).eval()
    for key, parameter in model.named_parameters():
        if key.endswith("bn3.weight"):
            parameter.fill_(0.3)
        elif parameter.dim() == 4:
            parameter.normal_(std=(2 / parameter[0].numel()) ** 0.5)
    for key, buffer in model.named_buffers():
        if key.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    return model


def save(model, name, folder):
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    config = {"model_cfg": open_clip.get_model_config(name),
              "preprocess_cfg": {"interpolation": "bicubic", "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))


def timed(run, inputs, seconds):
    done, start = 0, time.perf_counter()
    while done < 2 or time.perf_counter() - start < seconds:
        run(inputs[done % len(inputs)])
        done += 1
    return done * len(inputs[0]) / (time.perf_counter() - start)


def onnx_runtime(visual, example, folder):
    path = folder / f"visual-{len(example)}.onnx"
    torch.onnx.export(visual, (torch.from_numpy(example),), str(path), input_names=["input"], output_names=["output"],
                      opset_version=17, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {"input": values})[0]


class Clipc:
    def __init__(self, program, folder, batch, precision):
        self.command = [program, "bench", "--model", str(folder), "--batch", str(batch), "--precision", precision,
                        "--json", "--no-roofline", "--warm-up", "1"]
        self.batch, self.rate = batch, None

    def measure(self, seconds):
        iterations = 3 if self.rate is None else max(2, round(seconds * self.rate / self.batch))
        result = subprocess.run(self.command + ["--iterations", str(iterations)], check=True, capture_output=True)
        self.rate = json.loads(result.stdout)["items_per_s"]
        return self.rate


def compare(program, model, name, folder, precision):
    transform = open_clip.image_transform(open_clip.get_model_config(name)["vision_cfg"]["image_size"], is_train=False,
                                          interpolation="bicubic", resize_mode="shortest")
    expected = model.encode_image(torch.stack([transform(Image.open(path)) for path in SAMPLES]), normalize=True)
    out = folder / "rows.npy"
    subprocess.run([program, "embed", "image", *map(str, SAMPLES), "-o", str(out), "--model", str(folder), "--precision",
                    precision, "--quiet"], check=True)
    rows = numpy.load(out)
    return float((rows * expected.numpy()).sum(1).min()), float(numpy.abs(rows - expected.numpy()).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipc", default="build/clipc")
    parser.add_argument("--arch", default="RN50")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one turn")
    arguments = parser.parse_args()
    model = make_model(arguments.arch)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        save(model, arguments.arch, folder)
        for precision in ("fp32", "bf16"):
            cosine, difference = compare(arguments.clipc, model, arguments.arch, folder, precision)
            print(f"clipc {precision}: cosine {cosine:.6f}, difference {difference:.1e}", flush=True)
        print("| batch | contestant | images/s | clipc fp32 is × |\n| --- | --- | --- | --- |", flush=True)
        for batch in map(int, arguments.batches.split(",")):
            size = open_clip.get_model_config(arguments.arch)["vision_cfg"]["image_size"]
            random = numpy.random.default_rng(0)
            inputs = [random.standard_normal((batch, 3, size, size), dtype=numpy.float32) for _ in range(2)]
            run = onnx_runtime(model.visual, inputs[0], folder)
            own = {precision: Clipc(arguments.clipc, folder, batch, precision) for precision in ("fp32", "bf16")}
            contestants = {
                "clipc fp32": own["fp32"].measure, "clipc bf16": own["bf16"].measure,
                "ONNX Runtime fp32": lambda seconds: timed(run, inputs, seconds),
                "PyTorch fp32": lambda seconds: timed(lambda x: model.visual(torch.from_numpy(x)), inputs, seconds)}
            for measure in contestants.values():
                measure(0.5)
            rates = {key: [] for key in contestants}
            for _ in range(arguments.alternations):
                for key, measure in contestants.items():
                    rates[key].append(measure(arguments.seconds))
            medians = {key: statistics.median(values) for key, values in rates.items()}
            for key, rate in medians.items():
                print(f"| {batch} | {key} | {rate:.2f} | {medians['clipc fp32'] / rate:.2f} |", flush=True)


main()
