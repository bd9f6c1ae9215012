"""PyTorch beside clipc on one GPU: CLIP's towers with random weights, inputs on the device, device time. For each row of the
table: torch in fp16 eager, in a CUDA graph and compiled (max-autotune), the products of the tower alone through cuBLAS in
one CUDA graph (fp16, and fp8 by _scaled_mm), and clipc's own program in the same run. Prints a line a measurement, then
the table.

Usage: peers_gpu.py BENCH_KERNELS [--rows NAME,...] [--compile-seconds N] [--precisions fp16,fp8] [--cache FOLDER]
       peers_gpu.py BENCH_KERNELS --prepare SECONDS [--rows NAME,...] [--cache FOLDER]
Compiling takes a minute and more a row, most of it for choosing among kernels. --prepare does that beforehand, a row after
the other and each in a process of its own, for so many seconds and again from where it stopped; what it finds stays in
--cache (default build-inductor), and the table, made in one run, begins with it. In that run rows are not compiled once
--compile-seconds (default 240) are used up, and the table says so.
"""
import argparse
import os
import subprocess
import sys
import time

if "--cache" in sys.argv[:-1]:
    CACHE = os.path.abspath(sys.argv[sys.argv.index("--cache") + 1])
else:
    CACHE = os.path.abspath("build-inductor")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.path.join(CACHE, "inductor")
os.environ["TRITON_CACHE_DIR"] = os.path.join(CACHE, "triton")
os.environ["TORCHINDUCTOR_FX_GRAPH_CACHE"] = "1"

import torch
from gpu_timing import card, in_graph, microseconds, tower_time
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

VISION = {"ViT-B-32": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                           patch_size=32, image_size=224, projection_dim=512),
          "ViT-L-14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                           patch_size=14, image_size=224, projection_dim=768)}
TEXT = dict(hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8, projection_dim=512)
# name: tower, architecture, batch, tokens of each of torch's inputs (0: image)
ROWS = {"image-b32-1": ("image", "ViT-B-32", 1, 0), "text-b32-1": ("text", "ViT-B-32", 1, 12),
        "image-b32-32": ("image", "ViT-B-32", 32, 0), "image-b32-256": ("image", "ViT-B-32", 256, 0),
        "image-b32-1024": ("image", "ViT-B-32", 1024, 0), "image-l14-256": ("image", "ViT-L-14", 256, 0),
        "text-b32-1024": ("text", "ViT-B-32", 1024, 12), "text-b32-1024-padded": ("text", "ViT-B-32", 1024, 77)}


def make_model(tower, architecture):
    if tower == "image":
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION[architecture])).half().cuda().eval()
    return CLIPTextModelWithProjection(CLIPTextConfig(**TEXT)).half().cuda().eval()


def make_inputs(tower, batch, tokens):
    if tower == "image":
        return {"pixel_values": torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float16)}
    return {"input_ids": torch.randint(0, 49000, (batch, tokens), device="cuda")}


def products(tower, architecture, batch, tokens):
    """(rows, columns, depth) of every product of torch's tower, padding included."""
    shape = VISION[architecture] if tower == "image" else TEXT
    width, mlp = shape["hidden_size"], shape["intermediate_size"]
    patches = (224 // shape.get("patch_size", 224)) ** 2
    rows = batch * (patches + 1 if tower == "image" else tokens)
    layer = [(rows, 3 * width, width), (rows, width, width), (rows, mlp, width), (rows, width, mlp)]
    ends = [(batch, shape["projection_dim"], width)]
    if tower == "image":
        ends.append((batch * patches, width, 3 * shape["patch_size"] ** 2))
    return layer * shape["num_hidden_layers"] + ends


def floor(shapes, fp8):
    """The products alone, in one CUDA graph. Each shape has its operands; layers share them, which cuBLAS likes."""
    held = {}
    for rows, columns, depth in shapes:
        if (rows, columns, depth) in held:
            continue
        a = torch.rand(rows, depth, device="cuda", dtype=torch.float16) * 2 - 1
        b = torch.rand(columns, depth, device="cuda", dtype=torch.float16) * 2 - 1
        if fp8 and rows % 16 == 0:
            held[rows, columns, depth] = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn).t()
        else:
            held[rows, columns, depth] = a, b.t()
    one = torch.ones((), device="cuda")

    def run():
        for shape in shapes:
            a, b = held[shape]
            if a.dtype == torch.float16:
                torch.mm(a, b)
            else:
                torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=torch.float16)
    return microseconds(in_graph(run), 3 if shapes[0][0] > 4096 else 20)


def clipc(program, tower, architecture, batch, precision):
    words = [precision, "images" if tower == "image" else "texts", architecture, str(batch)]
    value, output = tower_time(program, *words)
    print(output.strip().splitlines()[0] if output.strip() else f"clipc {words}: no output", flush=True)
    return value


def compile_model(model, inputs):
    """Compiled for these inputs alone, and run until its kernels are chosen and its graph recorded."""
    torch._dynamo.reset()
    compiled = torch.compile(model, mode="max-autotune", dynamic=False)
    for _ in range(3):
        compiled(**inputs)
    torch.cuda.synchronize()
    return compiled


def prepare(options):
    """Fills the cache; the marker of a row says that it is there."""
    began = time.monotonic()
    names = options.rows.split(",")
    for name in names:
        marker = os.path.join(CACHE, name + ".done")
        left = options.prepare - (time.monotonic() - began)
        if os.path.exists(marker) or left < 10:
            continue
        start = time.monotonic()
        try:
            done = subprocess.run([sys.executable, __file__, options.program, "--rows", name, "--compile-only", "--cache",
                                   CACHE], timeout=left, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        except subprocess.TimeoutExpired:
            done = False
        if done:
            open(marker, "w").close()
        print(f"{name}: {'compiled' if done else 'not compiled'}, {time.monotonic() - start:.0f} s", flush=True)
    missing = [name for name in names if not os.path.exists(os.path.join(CACHE, name + ".done"))]
    print("every row is prepared" if not missing else f"still to prepare: {','.join(missing)}")


def measure(name, options, compile_budget):
    tower, architecture, batch, tokens = ROWS[name]
    repeat = 3 if batch > 64 else 20
    times = {}

    def note(kind, value):
        times[kind] = value
        print(f"{name}: {kind} {value:.1f} us, {batch / value * 1e6:.0f}/s", flush=True)

    with torch.inference_mode():
        model = make_model(tower, architecture)
        inputs = make_inputs(tower, batch, tokens)
        note("torch eager", microseconds(lambda: model(**inputs), repeat))
        note("torch graph", microseconds(in_graph(lambda: model(**inputs)), repeat))
        began = time.monotonic()
        if compile_budget > 0:
            try:
                compiled = compile_model(model, inputs)
                print(f"{name}: compiling took {time.monotonic() - began:.0f} s", flush=True)
                note("torch compiled", microseconds(lambda: compiled(**inputs), repeat))
            except Exception as error:  # a version of torch that cannot compile it is no reason to stop
                print(f"{name}: torch compiled failed: {str(error).splitlines()[0]}", flush=True)
            compile_budget -= time.monotonic() - began
        del model
        shapes = products(tower, architecture, batch, tokens)
        note("products fp16", floor(shapes, False))
        if tower == "image" and batch > 1:
            try:
                note("products fp8", floor(shapes, True))
            except RuntimeError as error:
                print(f"{name}: products fp8 failed: {str(error).splitlines()[0]}", flush=True)
    for precision in options.precisions.split(","):
        value = clipc(options.program, tower, architecture, batch, precision)
        if value:
            note(f"clipc {precision}", value)
    return times, compile_budget


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--precisions", default="fp16,fp8")
    parser.add_argument("--compile-seconds", type=float, default=240)
    parser.add_argument("--cache", default="build-inductor")
    parser.add_argument("--prepare", type=float, metavar="SECONDS")
    parser.add_argument("--compile-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.makedirs(CACHE, exist_ok=True)
    if options.prepare is not None:
        return prepare(options)
    if options.compile_only:
        tower, architecture, batch, tokens = ROWS[options.rows]
        with torch.inference_mode():
            compile_model(make_model(tower, architecture), make_inputs(tower, batch, tokens))
        return None
    head = card()
    print(head, flush=True)
    budget = options.compile_seconds
    table = []
    for name in options.rows.split(","):
        times, budget = measure(name, options, budget)
        table.append((name, times))
    kinds = ["torch eager", "torch graph", "torch compiled", "products fp16", "products fp8"]
    kinds += [f"clipc {precision}" for precision in options.precisions.split(",")]
    print("\n" + head)
    print("| row, µs | " + " | ".join(kinds) + " | clipc over the best torch |")
    print("| --- " * (len(kinds) + 2) + "|")
    for name, times in table:
        best = min(value for kind, value in times.items() if kind.startswith("torch"))
        ratios = [f"{best / times[kind]:.2f}" for kind in kinds if kind.startswith("clipc") and kind in times]
        cells = [f"{times[kind]:.1f}" if kind in times else "not run" for kind in kinds]
        print(f"| {name} | " + " | ".join(cells) + " | " + ", ".join(ratios) + " |")
    return None


main()
