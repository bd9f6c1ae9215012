#!/usr/bin/env python3
"""Times from process start to an engine that is ready, from an engine file, and the memory of two processes that use it
after a batch of images.

    bench/engine_file.py [--build build] [--arch ViT-B-32] [--precision fp32] [--runs 15] [--model DIR] [--batch 32]

Makes the engine file of random weights, or of DIR, in a temporary folder. "cold" is with the file dropped from the page
cache before each run. With --model the directory itself is timed beside it, run by run, and in between, how long
the machine takes to hand out as much new memory as the packed weights fill (bench/new_memory.c).
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def start(program, model, precision, batch):
    begin = time.monotonic_ns()
    process = subprocess.Popen([program, model, precision, str(begin), str(batch)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    return process, json.loads(process.stdout.readline())


def touch_memory(program, mib):
    result = subprocess.run([program, str(round(mib))], check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def stop(process):
    process.stdin.close()
    process.stdout.close()
    process.wait()


def run_once(program, model, precision):
    process, result = start(program, model, precision, 1)
    stop(process)
    return result


def drop_from_cache(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def show(name, results):
    ready = [result["ready_ms"] for result in results]
    first = [result["first_image_ms"] for result in results]
    print(f"{name:28} ready: best {min(ready):7.1f} ms, median {statistics.median(ready):7.1f} ms   "
          f"first image after: median {statistics.median(first):7.1f} ms", flush=True)


def show_work(name, results):
    user, system, faults = (statistics.median(result[key] for result in results)
                            for key in ("user_ms", "system_ms", "faults"))
    print(f"{name:28} until ready, medians: processor {user:.0f} ms in the program and {system:.0f} ms in the kernel, "
          f"{faults:.0f} page faults", flush=True)


def show_new_memory(mib, results):
    took = [result["touched_ms"] for result in results]
    system = statistics.median(result["system_ms"] for result in results)
    print(f"{mib:.0f} MiB of new memory".ljust(28) + f" touched: best {min(took):7.1f} ms, median "
          f"{statistics.median(took):7.1f} ms, most {max(took):7.1f} ms   processor: median {system:.0f} ms in the kernel",
          flush=True)


def show_memory(name, result):
    beyond = result["private_mib"] - result["packed_mib"]
    print(f"{name:28} private {result['private_mib']:7.1f} MiB: weights packed by itself {result['packed_mib']:.1f} MiB "
          f"and {beyond:.1f} MiB (of at most 64); file pages {result['mapped_mib']:7.1f} MiB, shared with others "
          f"{result['shared_mib']:.1f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--arch", default="ViT-B-32")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--model")
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    program = str(arguments.build / "bench/engine_ready")
    precision = arguments.precision
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "model.clipc")
        source = ["--model", arguments.model] if arguments.model else ["--arch", arguments.arch]
        subprocess.run([str(arguments.build / "clipc"), "convert", *source, file, "--precision", precision], check=True)
        warm, directory, cold, touched = [], [], [], []
        run_once(program, file, precision)
        for _ in range(arguments.runs):
            warm.append(run_once(program, file, precision))
            if arguments.model:
                directory.append(run_once(program, arguments.model, precision))
                warm.append(run_once(program, file, precision))  # that both come after the same rest
                touched.append(touch_memory(str(arguments.build / "bench/new_memory"), directory[-1]["packed_mib"]))
        for _ in range(arguments.runs // 3):
            drop_from_cache(file)
            cold.append(run_once(program, file, precision))
        show("engine file, warm cache", warm)
        show("engine file, cold cache", cold)
        if directory:
            show("directory, warm cache", directory)
            show_work("directory, warm cache", directory)
            show_new_memory(directory[-1]["packed_mib"], touched)
        processes = [start(program, file, precision, arguments.batch) for _ in range(2)]
        show_memory("first process", processes[0][1])
        show_memory("second process beside it", processes[1][1])
        if arguments.model:
            processes.append(start(program, arguments.model, precision, arguments.batch))
            show_memory(f"directory, batch {arguments.batch}", processes[2][1])
        for process, _ in processes:
            stop(process)


if __name__ == "__main__":
    main()
