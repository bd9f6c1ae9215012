"""The products of CLIP's layers alone, a bias for all epilogue, beside cuBLAS through PyTorch: torch.mm of halves without a
bias, or of e4m3 torch._scaled_mm with fast accumulation, one scale a matrix and bf16 out. Both are timed in CUDA graphs, in
turns and after a pause, as how warm the card is decides as much as the kernels do: of each the median over the rounds.

Usage: gemm_gpu.py BENCH_KERNELS [fp8] [--rounds N] ROWS WIDTH MLP [ROWS WIDTH MLP ...]
"""
import argparse
import re
import statistics
import subprocess
import time

import torch

# Before each measurement, in seconds: both begin on a card that has rested, as bench_kernels does while it fills its inputs.
PAUSE = 0.4


def microseconds(function, repeat):
    """Median of seven replays of a graph of so many runs, as bench_kernels takes it."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(repeat):
                function()
        groups = []
        for _ in range(3):
            graph.replay()
        for _ in range(7):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record(stream)
            graph.replay()
            end.record(stream)
            end.synchronize()
            groups.append(begin.elapsed_time(end) * 1000 / repeat)
    return statistics.median(groups)


def shapes(numbers):
    for rows, width, mlp in zip(numbers[0::3], numbers[1::3], numbers[2::3]):
        for role, columns, depth in (("qkv", 3 * width, width), ("out", width, width), ("fc1", mlp, width),
                                     ("fc2", width, mlp)):
            yield role, rows, columns, depth


def halves(rows, columns, depth):
    a = torch.rand(rows, depth, device="cuda", dtype=torch.float16) * 2 - 1
    b = torch.rand(columns, depth, device="cuda", dtype=torch.float16) * 2 - 1
    out = torch.empty(rows, columns, device="cuda", dtype=torch.float16)
    return lambda: torch.mm(a, b.t(), out=out)


def bytes_of(rows, columns, depth):
    a = torch.randn(rows, depth, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(columns, depth, device="cuda").to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")
    out = torch.empty(rows, columns, device="cuda", dtype=torch.bfloat16)
    return lambda: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16, use_fast_accum=True, out=out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("words", nargs="+", help="[fp8] ROWS WIDTH MLP ...")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_intermixed_args()
    fp8 = options.words[0] == "fp8"
    numbers = [int(word) for word in options.words[fp8:]]
    own = subprocess.Popen([options.program, "fp8" if fp8 else "fp16", "alone", "-"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "fp8" if fp8 else "fp16")
    print("| product | tile | clipc | cuBLAS | clipc / cuBLAS |\n| --- | --- | --- | --- | --- |", flush=True)
    reached = count = 0
    for role, rows, columns, depth in shapes(numbers):
        function = (bytes_of if fp8 else halves)(rows, columns, depth)
        repeat = 10 if 2 * rows * columns * depth > 2e10 else 40
        times = {"clipc": [], "cublas": []}
        for _ in range(options.rounds):
            time.sleep(PAUSE)
            own.stdin.write(f"{rows} {columns} {depth}\n")
            own.stdin.flush()
            answer = own.stdout.readline()
            times["clipc"].append(float(re.search(r"([0-9.]+) us", answer).group(1)))
            time.sleep(PAUSE)
            times["cublas"].append(microseconds(function, repeat))
        tile = re.search(r"\| ([^,|]*, cluster \d)", answer).group(1)
        clipc, cublas = (statistics.median(times[name]) for name in ("clipc", "cublas"))
        reached += cublas / clipc >= 0.95
        count += 1
        print(f"| {role} {rows}x{columns}x{depth} | {tile} | {clipc:.2f} µs | {cublas:.2f} µs | {cublas / clipc:.2f} |",
              flush=True)
        del function
        torch.cuda.empty_cache()
    print(f"95 % of cuBLAS: {reached} of {count}")
    own.stdin.close()
    own.wait()


main()
