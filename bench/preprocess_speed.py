"""Resize + crop + normalise on one core: clipc beside Pillow + NumPy, in turns, in one run.

usage: preprocess_speed.py PREPROCESS_SPEED [WIDTHxHEIGHT ...]     (needs Pillow and numpy)

The Python side does what transformers' PIL processor does to an RGB image: bicubic resize of the shortest edge to 224,
centre crop, rescale and normalise in fp32, channels first. Medians; decoding is on neither side.
"""
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)[:, None, None]
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)[:, None, None]
TURNS, ROUNDS = 10, 10


def python_round(image):
    begin = time.perf_counter()
    short = min(image.size)
    width, height = (int(224 * side / short) for side in image.size)
    resized = np.asarray(image.resize((width, height), Image.BICUBIC))
    left, top = (width - 224) // 2, (height - 224) // 2
    planes = np.ascontiguousarray(resized[top:top + 224, left:left + 224].transpose(2, 0, 1))
    scaled = planes.astype(np.float32) * np.float32(1 / 255)
    np.divide(np.subtract(scaled, MEAN, out=scaled), DEVIATION, out=scaled)
    return (time.perf_counter() - begin) * 1e6


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for size in sys.argv[2:] or ["500x375", "3000x2000", "224x224", "100x80"]:
        width, height = (int(side) for side in size.split("x"))
        image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
        ours, theirs = [], []
        for _ in range(TURNS):
            text = subprocess.run([sys.argv[1], str(width), str(height), str(ROUNDS + 2)], check=True,
                                  capture_output=True, text=True).stdout
            ours += [float(line) for line in text.split()[2:]]
            theirs += [python_round(image) for _ in range(ROUNDS)]
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{size}: clipc {a:.0f} us, Pillow + NumPy {b:.0f} us: {b / a:.1f} times as fast")


main()
