#!/usr/bin/env python3
"""Times from process start to exit of classifying one image: best and median of many runs.

    bench/startup.py [--program build/clipc] [--runs 20] [--model DIR]...

Without --model: the embedded demo model, then its files as a directory. The files are in the page cache from the
second run on; the first run of each is not counted.
"""
import argparse
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_once(command):
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1e3


def measure(name, command, runs):
    run_once(command)
    times = [run_once(command) for _ in range(runs)]
    print(f"{name:40} best {min(times):7.1f} ms   median {statistics.median(times):7.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build/clipc")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--model", action="append")
    arguments = parser.parse_args()
    classify = [str(arguments.program), "classify", str(ROOT / "models/demo/samples/cat.png"), "--labels", "cat,dog"]
    measure("clipc --version", [str(arguments.program), "--version"], arguments.runs)
    measure("embedded demo model", classify, arguments.runs)
    for model in arguments.model or [str(ROOT / "models/demo/model")]:
        measure(model, classify + ["--model", model], arguments.runs)


if __name__ == "__main__":
    main()
