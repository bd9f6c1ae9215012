"""Compares decoding with Pillow, byte for byte: `decode_pillow.py DECODE_DUMP [COUNT [FIRST_SEED]]`."""

import io
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from decode_files import picture, random_file, save

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


def describe(have, want):
    """What is wrong with `have`, or None."""
    if isinstance(have, tuple):
        return f"status {have[0]}: {have[1]}"
    if have.shape != want.shape:
        return f"shape {have.shape} instead of {want.shape}"
    off = np.argwhere(have != want)
    if len(off) == 0:
        return None
    most = np.abs(have.astype(int) - want).max()
    return f"{len(off)} of {want.size} bytes differ, first at {off[0]}, by up to {most}"


class Comparison:
    """Counts what was compared, file by file, and what was found wrong."""

    def __init__(self, program, folder):
        self.dump, self.path = Dump(program), Path(folder) / "file"
        self.compared = self.failures = 0

    def have(self, data, alpha="white", exif="plain"):
        self.path.write_bytes(data)
        return self.dump.decode(self.path, alpha, exif)

    def report(self, name, fault):
        self.compared += 1
        if fault:
            self.failures += 1
            print(f"{name}: {fault}")

    def equal(self, name, data, alpha="white", exif="plain"):
        self.report(name, describe(self.have(data, alpha, exif), reference(data, alpha, exif)))


def compare_random_files(comparison, first, count):
    for seed in range(first, first + count):
        form, data = random_file(seed)
        alpha = "drop" if seed % 3 == 0 else "white"
        comparison.equal(f"seed {seed} ({form}, {alpha})", data, alpha)


def compare_orientations(comparison):
    """All orientations in every format that has them, turned upright and left alone."""
    for form, mode in [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB")]:
        for orientation in range(0, 10):
            rng = random.Random(orientation)
            exif = Image.Exif()
            exif[ExifTags.Base.Make] = "clipc"
            exif[ExifTags.Base.Orientation] = orientation
            data = save(picture(rng, mode, (21, 13)), form, exif=exif)
            for upright in ("exif", "plain"):
                comparison.equal(f"{form} {mode} orientation {orientation} {upright}", data, exif=upright)


def compare_alpha(comparison):
    """Every value under every alpha."""
    values = np.arange(256, dtype=np.uint8)
    pixels = np.stack(np.meshgrid(values, values), -1)
    comparison.equal("LA, all values", save(Image.frombytes("LA", (256, 256), pixels.tobytes()), "PNG"))
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    comparison.equal("I;16, all values", save(Image.fromarray(deep), "PNG"))


def compare_cut_files(comparison):
    """The beginning of a file is refused, or (only check sums or an end mark are missing) gives the whole image."""
    for seed in range(40):
        form, data = random_file(seed)
        rng = random.Random(seed)
        want = reference(data)
        sizes = {rng.randrange(len(data)) for _ in range(8)} | set(range(max(0, len(data) - 14), len(data)))
        for size in sorted(sizes):
            have = comparison.have(data[:size])
            fault = None if isinstance(have, tuple) else describe(have, want)
            comparison.report(f"seed {seed} ({form}) cut to {size} of {len(data)} bytes", fault)


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(sys.argv[1], folder)
        compare_random_files(comparison, first, count)
        compare_orientations(comparison)
        compare_alpha(comparison)
        compare_cut_files(comparison)
    print(f"{comparison.compared - comparison.failures} of {comparison.compared} comparisons agree")
    return comparison.failures != 0


if __name__ == "__main__":
    sys.exit(main())
