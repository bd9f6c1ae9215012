"""The products of CLIP's layers alone, through PyTorch (cuBLAS), in a CUDA graph: the yardstick of bench_kernels gemm.

Usage: gemm_gpu.py [fp8] ROWS WIDTH MLP [ROWS WIDTH MLP ...]
"""
import statistics
import sys

import torch


def microseconds(function, repeat):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(repeat):
                function()
        groups = []
        graph.replay()
        for _ in range(7):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record(stream)
            graph.replay()
            end.record(stream)
            end.synchronize()
            groups.append(begin.elapsed_time(end) * 1000 / repeat)
    return statistics.median(groups)


def shapes(arguments):
    numbers = [int(n) for n in arguments]
    for rows, width, mlp in zip(numbers[0::3], numbers[1::3], numbers[2::3]):
        for role, columns, depth in (("qkv", 3 * width, width), ("out", width, width), ("fc1", mlp, width),
                                     ("fc2", width, mlp)):
            yield role, rows, columns, depth


def halves(rows, columns, depth):
    a = torch.rand(rows, depth, device="cuda", dtype=torch.float16) * 2 - 1
    b = torch.rand(columns, depth, device="cuda", dtype=torch.float16) * 2 - 1
    bias = torch.zeros(columns, device="cuda", dtype=torch.float16)
    out = torch.empty(rows, columns, device="cuda", dtype=torch.float16)
    return (("mm", lambda: torch.mm(a, b.t(), out=out)), ("addmm", lambda: torch.addmm(bias, a, b.t(), out=out)))


def bytes_of(rows, columns, depth):
    a = torch.randn(rows, depth, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(columns, depth, device="cuda").to(torch.float8_e4m3fn)
    one = torch.ones((), device="cuda")
    out = torch.empty(rows, columns, device="cuda", dtype=torch.bfloat16)
    return (("fp8", lambda: torch._scaled_mm(a, b.t(), one, one, out_dtype=torch.bfloat16, use_fast_accum=True,
                                             out=out)),)


def main():
    fp8 = sys.argv[1:2] == ["fp8"]
    for role, rows, columns, depth in shapes(sys.argv[2:] if fp8 else sys.argv[1:]):
        for name, function in (bytes_of if fp8 else halves)(rows, columns, depth):
            time = microseconds(function, 10)
            print(f"cublas {name} {role} {rows}x{columns}x{depth} | {time:.2f} us | "
                  f"{2 * rows * columns * depth / time * 1e-6:.1f} TFLOP/s", flush=True)


main()
