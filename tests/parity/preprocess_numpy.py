"""clipc_preprocess against transformers' PIL pipeline restated in NumPy (image_transforms.py of 5.23), bit for bit.

usage: preprocess_numpy.py HELPER [CASES [SEED]]
"""
import json
import sys

import numpy as np
from PIL import Image

from resize_client import Helper

MEAN, DEVIATION = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def resized_size(rule, width, height):
    if not rule.get("do_resize", True):
        return width, height
    size = rule["size"]
    if "height" in size:
        return size["width"], size["height"]
    short, long = sorted((width, height))
    new_long = int(size["shortest_edge"] * long / short)
    return (size["shortest_edge"], new_long) if width <= height else (new_long, size["shortest_edge"])


def reference(rule, source):
    image = Image.fromarray(source)
    if rule.get("do_resize", True):
        image = image.resize(resized_size(rule, *image.size), rule["resample"])
    if rule["do_center_crop"]:
        crop = rule["crop_size"]
        left, top = (image.width - crop["width"]) // 2, (image.height - crop["height"]) // 2
        image = image.crop((left, top, left + crop["width"], top + crop["height"]))
    planes = np.asarray(image).transpose(2, 0, 1)
    if rule["do_rescale"]:
        planes = (planes.astype(np.float64) * rule["rescale_factor"]).astype(np.float32)
    if rule["do_normalize"]:
        mean, deviation = (np.array(rule[key], np.float32)[:, None, None] for key in ("image_mean", "image_std"))
        planes = (planes.astype(np.float32) - mean) / deviation
    return planes.astype(np.float32)


def random_rule(random):
    side, other = int(random.integers(1, 120)), int(random.integers(1, 120))
    rule = {"resample": int(random.integers(0, 6)), "do_center_crop": True, "crop_size": {"height": side, "width": other},
            "do_rescale": bool(random.random() < 0.9), "do_normalize": bool(random.random() < 0.9),
            "rescale_factor": float(random.choice([1 / 255, 0.00392156862745098, 1 / 127.5])),
            "image_mean": MEAN, "image_std": DEVIATION, "size": {"shortest_edge": int(random.integers(1, 130))}}
    if random.random() < 0.3:
        rule.update(size={"height": side, "width": other}, do_center_crop=bool(random.random() < 0.5))
    elif random.random() < 0.1:
        rule.update(do_resize=False)
    if random.random() < 0.3:
        rule.update(image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5])
    return rule


def main():
    helper = Helper(sys.argv[1])
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 20261122
    random = np.random.default_rng(seed)
    for number in range(cases):
        rule = random_rule(random)
        height, width = (int(np.exp(random.uniform(0, np.log(300)))) for _ in range(2))
        source = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        wanted = reference(rule, source)
        got = helper.preprocess("RGB", source, json.dumps(rule).encode(), *wanted.shape[1:])
        if not np.array_equal(got, wanted):
            print(f"case {number} (seed {seed}): {width}x{height}, {rule}: largest difference "
                  f"{np.abs(got - wanted).max()}")
            return 1
    print(f"{cases} preprocessed images equal the pipeline in NumPy, bit for bit")
    return 0


sys.exit(main())
