"""Draws the images and writes the files that decode_pillow.py compares: every format, mode and option Pillow can
write, and files no encoder writes, put together by hand."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image


def drawing(rng, width, height, channels):
    """Smooth gradients, hard edges and noise in one picture [height, width, channels]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(-3, 3), rng.uniform(-3, 3), rng.uniform(0, 255)
        plane = (c + a * x + b * y + 60 * np.sin(x * rng.uniform(0, 0.5)) * np.cos(y * rng.uniform(0, 0.5))) % 511
        planes.append(np.where(plane > 255, 511 - plane, plane))
    pixels = np.stack(planes, -1)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.choice([0, 3, 30]), pixels.shape)
    left, top = rng.randrange(width), rng.randrange(height)
    pixels[top : top + height // 3 + 1, left : left + width // 3 + 1] = [rng.randrange(256) for _ in range(channels)]
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def picture(rng, mode, size):
    width, height = size
    if mode == "I;16":
        values = drawing(rng, width, height, 2).astype(np.uint16)
        return Image.fromarray(values[..., 0] * 256 + values[..., 1] if rng.random() < 0.5 else values[..., 0] * 2)
    if mode == "P":
        image = Image.fromarray(drawing(rng, width, height, 3))
        return image.quantize(rng.choice([2, 3, 4, 7, 16, 40, 256]))
    if mode == "1":
        return Image.fromarray(drawing(rng, width, height, 1)[..., 0]).convert("1")
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = drawing(rng, width, height, channels)
    return Image.frombytes(mode, size, pixels.tobytes())


def random_size(rng):
    if rng.random() < 0.1:
        return rng.choice([(1, 1), (1, 17), (33, 1), (200, 3), (3, 200), (8, 8), (16, 16), (17, 17), (2, 2)])
    return rng.randrange(1, 100), rng.randrange(1, 100)


def save(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


# ---- JPEG -----------------------------------------------------------------------------------------------------------

SAMPLINGS = {"4:4:4": (0x11, 0x11), "4:2:2": (0x21, 0x11), "4:2:0": (0x22, 0x11), "4:4:0": (0x12, 0x11),
             "4:1:1": (0x41, 0x11), "4:1:0": (0x42, 0x11), "4:4:1": (0x14, 0x11)}


def jpeg(rng):
    mode = rng.choice(["RGB"] * 6 + ["L", "CMYK"])
    image = picture(rng, mode, random_size(rng))
    options = {"quality": rng.choice([5, 30, 60, 75, 90, 95, 100]), "progressive": rng.random() < 0.4,
               "optimize": rng.random() < 0.3}
    if mode == "RGB":
        options["subsampling"] = rng.choice(["4:4:4", "4:2:2", "4:2:0"])
        if rng.random() < 0.1:
            options["keep_rgb"] = True
            options["subsampling"] = "4:4:4"
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randrange(1, 5)
    return save(image, "JPEG", **options)


# ---- PNG ------------------------------------------------------------------------------------------------------------


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(rng, interlace, colour=None, depth=None, transparency=None):
    """Any colour type and depth, filters at random, interlaced or not, tRNS or not."""
    width, height = random_size(rng)
    if colour is None:
        colour, depth = rng.choice([(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4),
                                    (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    values = drawing(rng, width, height, samples).astype(np.int64)
    entries = rng.randrange(1, (1 << depth) + 1) if colour == 3 else 0
    if colour == 3:
        values = values % entries
    elif depth == 16:
        values = values * 257 if rng.random() < 0.3 else values * rng.randrange(1, 257)
    else:
        values = values >> (8 - depth)
    chunks = [png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlace)))]
    if colour == 3:
        chunks.append(png_chunk(b"PLTE", bytes(rng.randrange(256) for _ in range(3 * entries))))
    if transparency is None:
        transparency = rng.random() < 0.4
    if transparency and colour in (0, 2):
        key = values[rng.randrange(height), rng.randrange(width)]
        chunks.append(png_chunk(b"tRNS", b"".join(struct.pack(">H", int(v)) for v in key)))
    elif transparency and colour == 3:
        alphas = bytes(rng.choice([0, 255, rng.randrange(256)]) for _ in range(rng.randrange(1, entries + 1)))
        chunks.append(png_chunk(b"tRNS", alphas))
    stream = zlib.compress(png_scanlines(rng, values, depth, interlace))
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(3)))
    for begin, end in zip([0] + cuts, cuts + [len(stream)]):
        chunks.append(png_chunk(b"IDAT", stream[begin:end]))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_scanlines(rng, values, depth, interlace):
    passes = [(0, 0, 1, 1)]
    if interlace:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    out = bytearray()
    for x0, y0, dx, dy in passes:
        part = values[y0::dy, x0::dx]
        if part.size == 0:
            continue
        rows = part.reshape(part.shape[0], -1)
        if depth == 16:
            packed = rows.astype(">u2").view(np.uint8).reshape(len(rows), -1)
        elif depth == 8:
            packed = rows.astype(np.uint8)
        else:
            bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
        step = max(1, part.shape[2] * depth // 8)
        before = np.zeros(packed.shape[1], np.int64)
        for row in packed.astype(np.int64):
            kind = rng.randrange(5)
            left = np.concatenate([np.zeros(step, np.int64), row])[: len(row)]
            corner = np.concatenate([np.zeros(step, np.int64), before])[: len(row)]
            if kind == 4:
                p = left + before - corner
                pa, pb, pc = abs(p - left), abs(p - before), abs(p - corner)
                guess = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, before, corner))
            else:
                guess = [0 * row, left, before, (left + before) // 2][kind]
            out.append(kind)
            out += ((row - guess) & 255).astype(np.uint8).tobytes()
            before = row
    return bytes(out)


def png(rng):
    if rng.random() < 0.7:
        return png_by_hand(rng, rng.random() < 0.4)
    image = picture(rng, rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]), random_size(rng))
    return save(image, "PNG", compress_level=rng.randrange(10))


FORMATS = {"jpeg": jpeg, "png": png}


def random_file(seed):
    """(format, bytes) of the seed-th file."""
    rng = random.Random(seed)
    form = list(FORMATS)[seed % len(FORMATS)]
    return form, FORMATS[form](rng)
