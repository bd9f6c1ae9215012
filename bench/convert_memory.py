#!/usr/bin/env python3
"""The most memory that clipc convert takes, file pages included, beside what is promised: 1.2 times the largest tensor and
100 MiB.

    bench/convert_memory.py --model MODEL [--model MODEL]... [--program build/clipc] [--beyond 100]

Writes directories of two dtypes, engine files of every precision for the CPU and for cuda, and what can be made of those
files, into a temporary folder; and takes the model's directory through ONNX graphs and back. The model's largest tensor is
read from the directory that keeps its dtype. Ends with status 1 when something took more.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}


def peak_mib(command, **environment):
    """ru_maxrss of this one child."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss / 1024


def largest_mib(path):
    with open(path, "rb") as file:
        table = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return max(math.prod(tensor["shape"]) * WIDTHS[tensor["dtype"]] / 2**20
               for name, tensor in table.items() if name != "__metadata__")


def measure(program, model, folder):
    """Pairs of a conversion's kind and its MiB."""
    command = [program, "convert", model]
    file = f"{folder}/model.clipc"
    yield "directory, dtype kept", peak_mib(command + [f"{folder}/kept/"])
    yield "directory, fp16", peak_mib(command + [f"{folder}/half/", "--precision", "fp16"])
    shutil.rmtree(f"{folder}/half")
    for precision in ("fp32", "bf16", "int8"):
        yield f"engine file, {precision}", peak_mib(command + [file, "--precision", precision])
        if precision == "fp32":
            yield "directory of that file", peak_mib([program, "convert", file, f"{folder}/unpacked/"])
            shutil.rmtree(f"{folder}/unpacked")
    yield "that file, other panels", peak_mib([program, "convert", file, f"{folder}/other.clipc"], CLIPC_CPU="c")
    os.remove(f"{folder}/other.clipc")
    for precision in ("fp16", "bf16", "int8", "fp8"):
        yield f"cuda, {precision}", peak_mib(command + [file, "--precision", precision, "--backend", "cuda"])
    yield "that file, again", peak_mib([program, "convert", file, f"{folder}/other.clipc"])
    os.remove(f"{folder}/other.clipc")
    subprocess.run([program, "export-onnx", "--quiet", "--model", f"{folder}/kept", "--out-dir", f"{folder}/onnx"], check=True)
    yield "graphs to a directory", peak_mib([program, "convert", f"{folder}/onnx", f"{folder}/back/"])
    shutil.rmtree(f"{folder}/back")
    yield "graphs to an engine file", peak_mib([program, "convert", f"{folder}/onnx", file, "--precision", "bf16"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build/clipc")
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--beyond", type=float, default=100, help="MiB beyond 1.2 times the largest tensor (default: 100)")
    arguments = parser.parse_args()
    good = True
    for model in arguments.model:
        with tempfile.TemporaryDirectory() as folder:
            limit = None
            for kind, peak in measure(str(arguments.program), model, folder):
                if limit is None:
                    largest = largest_mib(f"{folder}/kept/model.safetensors")
                    limit = 1.2 * largest + arguments.beyond
                    print(f"{model}: largest tensor {largest:.1f} MiB, limit {limit:.1f} MiB")
                good = good and peak <= limit
                print(f"  {kind:24} {peak:7.1f} MiB{'' if peak <= limit else '  TOO MUCH'}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
