"""Compares decoding with Pillow, byte for byte: `decode_pillow.py DECODE_DUMP [COUNT [FIRST_SEED]]`."""

import io
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from decode_files import random_file

warnings.simplefilter("ignore")


class Dump:
    """The decode_dump program, kept running."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def decode(self, path, alpha="white", exif="plain"):
        """[height, width, 3] bytes, or (status, message)."""
        self.process.stdin.write(f"{alpha} {exif} {path}\n".encode())
        self.process.stdin.flush()
        status, width, height = (int(word) for word in self.process.stdout.readline().split())
        if status != 0:
            return status, self.process.stdout.readline().decode().strip()
        pixels = self.process.stdout.read(width * height * 3)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def reference(data, alpha="white", exif="plain"):
    """What Pillow and transformers 5 (image_transforms.convert_to_rgb) make of it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    if exif == "exif":
        image = ImageOps.exif_transpose(image)
    if alpha == "white" and ("A" in image.getbands() or image.info.get("transparency") is not None):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.array(image.convert("RGB"))


def main():
    dump = Dump(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for seed in range(first, first + count):
            form, data = random_file(seed)
            path.write_bytes(data)
            alpha = "drop" if seed % 3 == 0 else "white"
            want = reference(data, alpha)
            have = dump.decode(path, alpha)
            if isinstance(have, tuple) or have.shape != want.shape or (have != want).any():
                failures += 1
                what = have if isinstance(have, tuple) else have.shape
                if not isinstance(have, tuple) and have.shape == want.shape:
                    off = np.argwhere(have != want)
                    what = f"{len(off)} of {want.size} bytes differ, first at {off[0]}, by up to " \
                           f"{np.abs(have.astype(int) - want).max()}"
                print(f"seed {seed} ({form}, {alpha}, {Image.open(io.BytesIO(data)).mode} {want.shape}): {what}")
    print(f"{count - failures} of {count} files equal")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
