"""What the scripts that time PyTorch beside clipc on a GPU share."""
import re
import statistics
import subprocess

import torch


def microseconds(function, repeat):
    """Median of seven groups, by events."""
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    groups = []
    for _ in range(7):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeat):
            function()
        end.record()
        end.synchronize()
        groups.append(begin.elapsed_time(end) * 1000 / repeat)
    return statistics.median(groups)


def in_graph(function):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def tower_time(program, *words):
    """Microseconds that bench_kernels prints of a tower, or None; and all it printed."""
    output = subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = re.search(r"tower .*: ([0-9.]+) us", output)
    return (float(found.group(1)) if found else None), output


def card():
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader"],
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    return f"{torch.cuda.get_device_name()}, driver, largest clock and power limit {driver}, torch {torch.__version__}"
