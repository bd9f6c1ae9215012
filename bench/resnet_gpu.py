"""A ResNet CLIP's image tower in PyTorch beside clipc on one GPU: random weights, fp16, inputs on the device, device time.
PyTorch runs eager, in a CUDA graph, and compiled in a CUDA graph, all in channels_last; clipc's own program times it in the same run.

Usage: resnet_gpu.py BENCH_KERNELS [--arch RN50] [--batches 1,32,256] [--mode default] [--compile-seconds N]
Batches are not compiled once --compile-seconds (default 240) are used up, and the table says so.
"""
import argparse
import time

import torch
from gpu_timing import card, in_graph, microseconds, tower_time
from torch import nn
from torch.nn import functional

# blocks of each stage, width, image size, dimension of the embedding
SHAPES = {"RN50": ((3, 4, 6, 3), 64, 224, 1024), "RN101": ((3, 4, 23, 3), 64, 224, 512),
          "RN50x4": ((4, 6, 10, 6), 80, 288, 640)}


def convolution(inputs, outputs, kernel=1, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Strides are averages of 2 × 2 pixels, before the last convolution and before that of the way around."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        self.reduce, self.spread = convolution(inputs, width), convolution(width, width, 3)
        self.expand, self.stride = convolution(width, 4 * width), stride
        self.around = convolution(inputs, 4 * width) if stride > 1 or inputs != 4 * width else None

    def shrink(self, maps):
        return functional.avg_pool2d(maps, self.stride) if self.stride > 1 else maps

    def forward(self, maps):
        inside = functional.relu(self.spread(functional.relu(self.reduce(maps))))
        around = self.around(self.shrink(maps)) if self.around else maps
        return functional.relu(self.expand(self.shrink(inside)) + around)


class ImageTower(nn.Module):
    def __init__(self, blocks, width, image_size, dimension):
        super().__init__()
        self.stem = nn.ModuleList([convolution(3, width // 2, 3, 2), convolution(width // 2, width // 2, 3),
                                   convolution(width // 2, width, 3)])
        stages, inputs = [], width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stages.append(Block(inputs, width << stage, 2 if stage and not block else 1))
                inputs = 4 * width << stage
        self.stages, self.heads = nn.Sequential(*stages), inputs // 64
        self.position = nn.Parameter(torch.randn((image_size // 32) ** 2 + 1, inputs) / inputs ** 0.5)
        self.query, self.key, self.value = (nn.Linear(inputs, inputs) for _ in range(3))
        self.out = nn.Linear(inputs, dimension)

    def forward(self, pixels):
        for layer in self.stem:
            pixels = functional.relu(layer(pixels))
        maps = self.stages(functional.avg_pool2d(pixels, 2)).flatten(2).transpose(1, 2)
        tokens = torch.cat([maps.mean(1, keepdim=True), maps], 1) + self.position

        def split(rows):
            return rows.unflatten(2, (self.heads, 64)).transpose(1, 2)
        mean = functional.scaled_dot_product_attention(split(self.query(tokens[:, :1])), split(self.key(tokens)),
                                                       split(self.value(tokens)))
        return self.out(mean.transpose(1, 2).flatten(1))


def clipc(program, architecture, batch):
    value, output = tower_time(program, "fp16", "images", architecture, str(batch))
    return value if value else print(output)


def measure(options, model, image_size, batch, budget):
    pixels = torch.randn(batch, 3, image_size, image_size, device="cuda", dtype=torch.float16)
    pixels = pixels.to(memory_format=torch.channels_last)
    repeat = 3 if batch > 64 else 20
    times = {"torch eager": microseconds(lambda: model(pixels), repeat)}
    times["torch graph"] = microseconds(in_graph(lambda: model(pixels)), repeat)
    if budget > 0:
        torch._dynamo.reset()
        compiled = torch.compile(model, mode=options.mode, dynamic=False)
        compiled(pixels)
        times["torch compiled"] = microseconds(in_graph(lambda: compiled(pixels)), repeat)
    times["clipc"] = clipc(options.program, options.arch, batch)
    print(f"batch {batch}: {times}", flush=True)
    return {kind: value for kind, value in times.items() if value}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--arch", default="RN50", choices=SHAPES)
    parser.add_argument("--batches", default="1,32,256")
    parser.add_argument("--mode", default="default", help="of torch.compile")
    parser.add_argument("--compile-seconds", type=float, default=240)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    head = card()
    print(head, flush=True)
    began, table = time.monotonic(), []
    with torch.inference_mode():
        model = ImageTower(*SHAPES[options.arch]).half().cuda().eval().to(memory_format=torch.channels_last)
        for batch in map(int, options.batches.split(",")):
            budget = options.compile_seconds - (time.monotonic() - began)
            table.append((batch, measure(options, model, SHAPES[options.arch][2], batch, budget)))
    kinds = ["torch eager", "torch graph", "torch compiled", "clipc"]
    print(f"\n{head}, compiled in mode {options.mode}")
    print(f"| {options.arch}, batch, µs | " + " | ".join(kinds) + " | clipc over compiled | over eager |")
    print("| --- " * (len(kinds) + 3) + "|")
    for batch, times in table:
        cells = [f"{times[kind]:.1f}" if kind in times else "not run" for kind in kinds]
        ratios = [f"{times[kind] / times['clipc']:.2f}" if kind in times and "clipc" in times else "not run"
                  for kind in ("torch compiled", "torch eager")]
        print(f"| {batch} | " + " | ".join(cells + ratios) + " |")


main()
