"""clipc_preprocess and its rule parser against transformers' own PIL processors. Needs torch and transformers.

usage: preprocess_reference.py HELPER
"""
import importlib
import json
import sys

import numpy as np
from PIL import Image

from resize_client import Helper

OPENAI = "CLIPImageProcessor"
CASES = [  # what the file says; the class it makes transformers use
    ({}, OPENAI),
    ({"size": 224, "crop_size": 224, "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3}, OPENAI),
    ({"size": {"shortest_edge": 96}, "crop_size": {"height": 96, "width": 96}, "do_convert_rgb": True}, OPENAI),
    ({"size": {"shortest_edge": 40}, "crop_size": [97, 64]}, OPENAI),
    ({"size": {"height": 60, "width": 90}, "crop_size": 50, "resample": 2}, OPENAI),
    ({"size": [60, 90], "do_center_crop": False}, OPENAI),
    ({"size": 90, "default_to_square": True, "do_center_crop": False}, OPENAI),
    ({"use_square_size": True, "size": 90}, OPENAI),
    ({"do_resize": False, "crop_size": 33}, OPENAI),
    ({"do_rescale": False, "size": 64, "crop_size": 64}, OPENAI),
    ({"do_normalize": False, "size": 64, "crop_size": 64}, OPENAI),
    ({"rescale_factor": 1 / 127.5, "image_mean": 0.5, "image_std": 0.25, "size": 64, "crop_size": 64}, OPENAI),
    ({"do_center_crop": None, "crop_size": None, "size": [30, 40]}, OPENAI),
    ({"do_resize": None, "size": None, "do_normalize": None, "image_std": None, "crop_size": 64}, OPENAI),
    ({"image_processor_type": "SiglipImageProcessor"}, "SiglipImageProcessor"),
    ({"image_processor_type": "SiglipImageProcessor", "size": {"height": 96, "width": 96}}, "SiglipImageProcessor"),
    ({"image_processor_type": "ViTImageProcessorFast", "size": 96}, "ViTImageProcessor"),
    ({"image_processor_type": "ChineseCLIPImageProcessor", "size": 96}, "ChineseCLIPImageProcessor"),
    ({"image_processor_type": "BitImageProcessor", "size": 96}, "BitImageProcessor"),
]


def main():
    transformers = importlib.import_module("transformers")
    helper = Helper(sys.argv[1])
    random = np.random.default_rng(1)
    count = 0
    for rule, name in CASES:
        processor = getattr(transformers, name + "Pil").from_dict(dict(rule))
        for width, height in [(500, 375), (375, 500), (64, 64), (1, 1), (1000, 4), (7, 300), (223, 225)]:
            source = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
            wanted = np.asarray(processor(Image.fromarray(source), return_tensors="np")["pixel_values"])[0]
            got = helper.preprocess("RGB", source, json.dumps(rule).encode(), *wanted.shape[1:])
            if not np.array_equal(got, wanted.astype(np.float32)):
                print(f"{rule} on {width}x{height}: largest difference {np.abs(got - wanted).max()}")
                return 1
            count += 1
    print(f"{count} images under {len(CASES)} rules equal transformers {transformers.__version__}, bit for bit")
    return 0


sys.exit(main())
