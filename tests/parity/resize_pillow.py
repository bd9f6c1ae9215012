"""clipc_resize_crop against Pillow's resize and crop, byte for byte, on random sizes, filters and crops.

usage: resize_pillow.py HELPER [CASES [SEED]]
"""
import sys

import numpy as np
from PIL import Image

from resize_client import LEVELS, Helper

FILTERS = range(6)
# (source width, height, width, height): extremes, and shapes where only one pass or none is needed
FIXED = [(1, 1, 1, 1), (1, 1, 224, 224), (1000, 4, 56000, 224), (4, 1000, 224, 56000), (4, 100000, 224, 224),
         (100000, 4, 224, 224), (500, 375, 298, 224), (640, 480, 640, 224), (640, 480, 224, 480), (224, 224, 224, 224),
         (3, 2, 7, 2), (2, 3, 2, 7), (17, 1, 5, 9), (1, 17, 9, 5), (1023, 511, 1, 1), (4096, 3, 11, 3), (3000, 20, 3, 20)]


def random_side(random, low, high):
    return int(np.exp(random.uniform(np.log(low), np.log(high))))


def random_case(random):
    source = random_side(random, 1, 700), random_side(random, 1, 700)
    size = random_side(random, 1, 400), random_side(random, 1, 400)
    if random.random() < 0.1:
        size = source[0], size[1]
    if random.random() < 0.1:
        size = size[0], source[1]
    return *source, *size


def random_crop(random, width, height):
    """Mostly inside, sometimes reaching out (Pillow writes zeros there)."""
    out = 5 if random.random() < 0.2 else 0
    crop_width, crop_height = random.integers(1, min(width, 300) + 1 + out), random.integers(1, min(height, 300) + 1 + out)
    left = random.integers(-out, width - crop_width + 1 + out) if width + out >= crop_width else 0
    top = random.integers(-out, height - crop_height + 1 + out) if height + out >= crop_height else 0
    return int(left), int(top), int(left + crop_width), int(top + crop_height)


def random_pixels(random, height, width, channels):
    kind = random.integers(3)
    if kind == 0:  # noise
        return random.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if kind == 1:  # only extremes: the clipping of overshoot
        return (random.integers(0, 2, (height, width, channels)) * 255).astype(np.uint8)
    ramp = np.arange(height)[:, None, None] * 3 + np.arange(width)[None, :, None] * 5 + np.arange(channels) * 40
    return (ramp % 256).astype(np.uint8)


def main():
    helper = Helper(sys.argv[1])
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 20261122
    random = np.random.default_rng(seed)
    shapes = FIXED + [random_case(random) for _ in range(cases - len(FIXED))]
    for number, (source_width, source_height, width, height) in enumerate(shapes):
        mode = "RGB" if number < len(FIXED) or random.random() < 0.6 else str(random.choice(["L", "CMYK"]))
        filter = int(random.choice(FILTERS))
        source = random_pixels(random, source_height, source_width, {"RGB": 3, "L": 1, "CMYK": 4}[mode])
        crop = random_crop(random, width, height)
        image = Image.fromarray(source[:, :, 0] if mode == "L" else source, mode)
        wanted = np.asarray(image.resize((width, height), filter).crop(crop)).reshape(crop[3] - crop[1], -1)
        for level in LEVELS:
            got = helper.resize(mode, source, (width, height), filter, crop, level).reshape(wanted.shape)
            if not np.array_equal(got, wanted):
                wrong = np.count_nonzero(got != wanted)
                print(f"case {number} (seed {seed}): {mode} {source_width}x{source_height} -> {width}x{height}, filter "
                      f"{filter}, crop {crop}, level {level}: {wrong} of {wanted.size} bytes differ from Pillow's")
                return 1
    print(f"{len(shapes)} resizes equal Pillow's, byte for byte, at levels {', '.join(LEVELS)}")
    return 0


sys.exit(main())
