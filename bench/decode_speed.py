"""Decoding beside Pillow in one run, on one core, turn by turn: decode_speed.py DECODE_SPEED [JPEG...]

Without files it draws 24 JPEGs of 500×375 pixels (4:2:0, quality 75 … 95). Both decode from memory to RGB. Prints
medians as JSON."""

import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import PIL
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "parity"))
from decode_files import picture  # noqa: E402

PASSES = 25


def draw(folder):
    paths = []
    for i in range(24):
        rng = random.Random(i)
        paths.append(Path(folder) / f"{i}.jpg")
        picture(rng, "RGB", (500, 375)).save(paths[-1], quality=rng.randrange(75, 96))
    return paths


def pillow_pass(files):
    begin = time.perf_counter()
    for data in files:
        Image.open(io.BytesIO(data)).convert("RGB")
    return 1e3 * (time.perf_counter() - begin)


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(name) for name in sys.argv[2:]] or draw(folder)
        files = [path.read_bytes() for path in paths]
        clipc = subprocess.Popen([sys.argv[1], *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ours, theirs = [], []
        for _ in range(PASSES):
            theirs.append(pillow_pass(files))
            clipc.stdin.write("\n")
            clipc.stdin.flush()
            ours.append(float(clipc.stdout.readline()))
    clipc_ms, pillow_ms = (statistics.median(times) / len(files) for times in (ours, theirs))
    ratio = statistics.median(theirs_i / ours_i for ours_i, theirs_i in zip(ours, theirs))
    print(json.dumps({"images": len(files), "passes": PASSES, "pillow": PIL.__version__,
                      "clipc_ms_per_image": round(clipc_ms, 3), "pillow_ms_per_image": round(pillow_ms, 3),
                      "pillow_over_clipc": round(ratio, 3)}))


if __name__ == "__main__":
    main()
