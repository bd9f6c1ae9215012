"""PyTorch beside clipc on one GPU: CLIP's towers with random weights, fp16, inputs on the device, eager and in a CUDA
graph, and clipc's own device program in the same run. Prints one line a measurement.

Usage: peers_gpu.py BENCH_KERNELS [ARCHITECTURE [BATCH ...]]
"""
import statistics
import subprocess
import sys

import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

VISION = {"ViT-B-32": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                           patch_size=32, image_size=224, projection_dim=512),
          "ViT-L-14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16,
                           patch_size=14, image_size=224, projection_dim=768)}


def milliseconds(function, repeat):
    for _ in range(3):
        function()
    torch.cuda.synchronize()
    times = []
    for _ in range(7):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeat):
            function()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / repeat)
    return statistics.median(times)


def measure(name, model, inputs, batch):
    with torch.inference_mode():
        repeat = 3 if batch > 64 else 10
        eager = milliseconds(lambda: model(**inputs), repeat)
        print(f"torch eager {name}: {eager * 1000:.1f} us, {batch / eager * 1000:.1f}/s", flush=True)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                model(**inputs)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            model(**inputs)
        replay = milliseconds(graph.replay, repeat)
        print(f"torch graph {name}: {replay * 1000:.1f} us, {batch / replay * 1000:.1f}/s", flush=True)


def main():
    program = sys.argv[1]
    architecture = sys.argv[2] if len(sys.argv) > 2 else "ViT-B-32"
    batches = [int(b) for b in sys.argv[3:]] or [1, 32, 256, 1024]
    print(torch.cuda.get_device_name(), "torch", torch.__version__, flush=True)
    vision = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION[architecture])).half().cuda().eval()
    for batch in batches:
        pixels = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.float16)
        measure(f"image {architecture} batch {batch}", vision, {"pixel_values": pixels}, batch)
        subprocess.run([program, "images", architecture, str(batch)], check=True)
    if architecture == "ViT-B-32":
        text = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=512)).half().cuda().eval()
        for batch, tokens in ((1, 12), (1024, 12), (1024, 77)):
            ids = torch.randint(0, 49000, (batch, tokens), device="cuda")
            measure(f"text batch {batch}, {tokens} tokens", text, {"input_ids": ids}, batch)
        for batch in (1, 1024):
            subprocess.run([program, "texts", architecture, str(batch)], check=True)


main()
