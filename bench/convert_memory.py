#!/usr/bin/env python3
"""The most memory that clipc convert takes, file pages included, beside what is promised: 1.2 times the largest tensor and
100 MiB.

    bench/convert_memory.py --model MODEL [--model MODEL]... [--program build/clipc]

Writes an engine file of every precision and directories of two dtypes into a temporary folder, and the model's largest
tensor is read from its directory's model.safetensors or from the one that was written.
"""
import argparse
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}


def peak_mib(command):
    """ru_maxrss of this one child."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build/clipc")
    parser.add_argument("--model", action="append", required=True)
    arguments = parser.parse_args()
    good = True
    for model in arguments.model:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            command = [str(arguments.program), "convert", model]
            peaks = {"directory, dtype kept": peak_mib(command + [f"{folder}/kept/"]),
                     "directory, fp16": peak_mib(command + [f"{folder}/half/", "--precision", "fp16"])}
            for precision in ("fp32", "bf16", "int8"):
                target = str(folder / "model.clipc")
                peaks[f"engine file, {precision}"] = peak_mib(command + [target, "--precision", precision])
                if precision == "fp32":
                    peaks["directory of that file"] = peak_mib(
                        [str(arguments.program), "convert", target, f"{folder}/unpacked/"])
            largest = largest_mib(folder / "kept/model.safetensors")
        limit = 1.2 * largest + 100
        print(f"{model}: largest tensor {largest:.1f} MiB, limit {limit:.1f} MiB")
        for kind, peak in peaks.items():
            good = good and peak <= limit
            print(f"  {kind:24} {peak:7.1f} MiB{'' if peak <= limit else '  TOO MUCH'}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
