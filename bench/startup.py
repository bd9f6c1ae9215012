#!/usr/bin/env python3
"""Times from process start to the labels of one image, and to the end of the process: best and median of many runs.

    bench/startup.py [--program build/clipc] [--runs 20] [--precision auto]... [--model DIR]...

Without --model: the embedded demo model, then its files as a directory. The files are in the page cache from the
second run on; the first run of each is not counted. The precisions take turns, run by run.
"""
import argparse
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run_once(command):
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        shown = time.perf_counter()
        process.stdout.read()
        process.wait()
        ended = time.perf_counter()
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return (shown - begin) * 1e3, (ended - begin) * 1e3


def measure(commands, runs):
    """commands: name → command."""
    for command in commands.values():
        run_once(command)
    times = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(run_once(command))
    for name, pairs in times.items():
        shown, ended = zip(*pairs)
        print(f"{name:32} output: best {min(shown):6.1f} ms, median {statistics.median(shown):6.1f} ms   "
              f"end: best {min(ended):6.1f} ms, median {statistics.median(ended):6.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=ROOT / "build/clipc")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--precision", action="append")
    parser.add_argument("--model", action="append")
    arguments = parser.parse_args()
    classify = [str(arguments.program), "classify", str(ROOT / "models/demo/samples/cat.png"), "--labels", "cat,dog"]
    precisions = arguments.precision or ["auto"]
    measure({"clipc --version": [str(arguments.program), "--version"]}, arguments.runs)
    measure({"embedded demo model": classify}, arguments.runs)
    for model in arguments.model or [str(ROOT / "models/demo/model")]:
        measure({f"{model}, {precision}": classify + ["--model", model, "--precision", precision]
                 for precision in precisions}, arguments.runs)


if __name__ == "__main__":
    main()
