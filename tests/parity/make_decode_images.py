"""Makes tests/unit/images anew: small files of every kind, and expected.txt with what Pillow reads in them, for the
test that needs no Python (unit.test_decode_files). Usage: make_decode_images.py [FOLDER]"""

import random
import sys
from pathlib import Path

from PIL import ExifTags, Image

from decode_files import FORMATS, picture, random_file, save
from decode_pillow import reference

FILES_OF_A_FORMAT = 26
LARGEST = 5000
ENDINGS = {"jpeg": "jpg"}


def fnv1a(data):
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def files():
    for index, form in enumerate(FORMATS):
        seed, made = index, 0
        while made < FILES_OF_A_FORMAT:
            data = random_file(seed)[1]
            if len(data) <= LARGEST:
                yield f"{form}_{made:02}.{ENDINGS.get(form, form)}", data
                made += 1
            seed += len(FORMATS)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        form, ending = [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")][orientation % 3]
        yield f"orientation_{orientation}.{ending}", save(picture(random.Random(1), "RGB", (19, 12)), form, exif=exif)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "unit" / "images"
    folder.mkdir(exist_ok=True)
    lines = ["# file alpha exif width height FNV-1a of the RGB bytes; made by tests/parity/make_decode_images.py"]
    for name, data in files():
        (folder / name).write_bytes(data)
        cases = [("white", "plain"), ("drop", "plain")]
        if name.startswith("orientation"):
            cases = [("white", "plain"), ("white", "exif")]
        for alpha, exif in cases:
            pixels = reference(data, alpha, exif)
            height, width, _ = pixels.shape
            lines.append(f"{name} {alpha} {exif} {width} {height} {fnv1a(pixels.tobytes()):016x}")
    (folder / "expected.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
