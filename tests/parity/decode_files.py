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


# ---- WebP -----------------------------------------------------------------------------------------------------------


def webp(rng):
    image = picture(rng, rng.choice(["RGB", "RGBA"]), random_size(rng))
    options = {"lossless": rng.random() < 0.4, "quality": rng.choice([0, 20, 75, 90, 100]), "method": rng.randrange(5)}
    if image.mode == "RGBA":
        options["exact"] = rng.random() < 0.5
        options["alpha_quality"] = rng.choice([0, 50, 100])
    if rng.random() < 0.25:
        more = [picture(rng, image.mode, image.size) for _ in range(rng.randrange(1, 3))]
        options.update(save_all=True, append_images=more, minimize_size=rng.random() < 0.5)
    return save(image, "WEBP", **options)


# ---- GIF ------------------------------------------------------------------------------------------------------------


def gif_lzw(rng, values, bits):
    """LZW as GIF packs it, now and then with a clear code where none is needed."""
    clear, out, held, count = 1 << bits, bytearray(), 0, 0

    def put(code, size):
        nonlocal held, count
        held |= code << count
        count += size
        while count >= 8:
            out.append(held & 255)
            held >>= 8
            count -= 8

    table, size, following, text = {}, bits + 1, clear + 2, ()
    put(clear, size)
    for value in values:
        longer = text + (value,)
        if len(longer) == 1 or longer in table:
            text = longer
            continue
        put(table.get(text, text[0]), size)
        if following < 4096:
            table[longer] = following
            if following == 1 << size and size < 12:
                size += 1
            following += 1
        elif rng.random() < 0.05:
            put(clear, size)
            table, size, following = {}, bits + 1, clear + 2
        text = (value,)
    put(table.get(text, text[0]), size)
    if following == 1 << size and size < 12:
        size += 1
    put(clear + 1, size)
    if count:
        out.append(held)
    blocks = b"".join(bytes([len(out[i : i + 255])]) + out[i : i + 255] for i in range(0, len(out), 255))
    return bytes([bits]) + blocks + b"\0"


def gif_palette(rng, bits):
    if rng.random() < 0.15:
        return bytes(i for i in range(1 << bits) for _ in range(3))
    return bytes(rng.randrange(256) for _ in range(3 << bits))


def gif(rng):
    if rng.random() < 0.3:
        frames = [picture(rng, rng.choice(["L", "P", "RGB", "RGBA", "1"]), (40, 30)) for _ in range(rng.randrange(1, 4))]
        return save(frames[0], "GIF", save_all=True, append_images=frames[1:], interlace=rng.randrange(2),
                    disposal=rng.randrange(4))
    (width, height), (screen_width, screen_height) = random_size(rng), random_size(rng)
    left, top = (0, 0) if rng.random() < 0.5 else (rng.randrange(20), rng.randrange(20))
    if rng.random() < 0.4:
        screen_width, screen_height = left + width, top + height
    global_bits, local_bits = rng.randrange(1, 9), rng.randrange(1, 9)
    has_global, has_local = rng.random() < 0.7, rng.random() < 0.5
    bits = max(2, local_bits if has_local else global_bits if has_global else rng.randrange(2, 9))
    if rng.random() < 0.1:
        bits = 8
    out = b"GIF89a" + struct.pack("<HHBBB", screen_width, screen_height, 0x80 * has_global | global_bits - 1,
                                  rng.randrange(256), 0)
    if has_global:
        out += gif_palette(rng, global_bits)
    for _ in range(rng.choice([0, 1, 1, 2])):
        flags = rng.randrange(8) << 2 | rng.randrange(2)
        out += b"!\xf9\x04" + struct.pack("<BHB", flags, 5, rng.randrange(1 << bits)) + b"\0"
    if rng.random() < 0.3:
        out += b"!\xfe\x05hello\x03abc\0" + b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    interlace = rng.random() < 0.4
    out += b"," + struct.pack("<HHHHB", left, top, width, height,
                              0x80 * has_local | 0x40 * interlace | (local_bits - 1 if has_local else 0))
    if has_local:
        # Pillow shows a gray local palette in the colours of the global one: not a case to agree on
        palette = gif_palette(rng, local_bits)
        out += palette[::-1] if has_global and palette[3:6] == b"\1\1\1" else palette
    values = drawing(rng, width, height, 1)[..., 0].astype(int) >> (8 - bits)
    if interlace:
        values = np.concatenate([values[0::8], values[4::8], values[2::4], values[1::2]])
    return out + gif_lzw(rng, values.ravel().tolist(), bits) + b";"


# ---- BMP ------------------------------------------------------------------------------------------------------------

BMP_MASKS = [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0), (0xFF000000, 0xFF00, 0xFF, 0),
             (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
             (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000), (0, 0, 0, 0)]


def bmp_rows(rng, width, height, bits):
    stride = (width * bits + 31) // 32 * 4
    return np.random.default_rng(rng.getrandbits(32)).integers(0, 256, stride * height, np.uint8).tobytes()


def bmp_runs(rng, width, height, four_bits):
    """Random runs, literals, line ends and deltas that cover the image."""
    out, done = bytearray(), 0
    while done < width * height:
        column, kind = done % width, rng.randrange(10)
        left = width - column
        if kind < 5:
            length = rng.randrange(1, min(left, 255) + 1)
            out += bytes([length, rng.randrange(256)])
            done += length
            if length == left:
                out += b"\0\0"
        elif kind < 8 and left >= 3:
            length = rng.randrange(3, min(left, 255) + 1)
            data = bytes(rng.randrange(256) for _ in range((length + 1) // 2 if four_bits else length))
            out += bytes([0, length]) + data + b"\0" * (len(data) % 2)
            done += length
            if length == left:
                out += b"\0\0"
        elif kind == 8 and done:
            out += b"\0\0"
            done += (width - column) % width
        elif kind == 9:
            right, up = rng.randrange(min(left, 20)), rng.randrange(2)
            out += bytes([0, 2, right, up])
            done += right + up * width
    return bytes(out) + b"\0\1"


def bmp(rng):
    if rng.random() < 0.3:
        return save(picture(rng, rng.choice(["1", "L", "P", "RGB", "RGBA"]), random_size(rng)), "BMP")
    width, height = random_size(rng)
    bits = rng.choice([1, 4, 8, 16, 24, 32])
    size = rng.choice([12, 40, 40, 52, 56, 108, 124])
    compression, masks, colours = 0, (0, 0, 0, 0), 0
    if bits >= 16 and size > 12 and rng.random() < 0.6:
        compression = 3
        masks = rng.choice(BMP_MASKS)
        if bits == 16:
            masks = rng.choice([(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)])
        elif bits == 24:
            masks = BMP_MASKS[0]
        if size < 56 and masks[3]:
            masks = BMP_MASKS[0]
    elif bits in (4, 8) and size > 12 and rng.random() < 0.5:
        compression = {8: 1, 4: 2}[bits]
    palette = b""
    if bits <= 8:
        count = 1 << bits
        if bits > 1 and size > 12 and rng.random() < 0.3:
            colours = count = rng.randrange(3, count)
        entries = [bytes(rng.randrange(256) for _ in range(3)) for _ in range(count)]
        if bits != 4 and count == 1 << bits and rng.random() < 0.3:
            entries = [bytes([i * 255 // (count - 1)]) * 3 for i in range(count)]
        palette = b"".join(entry + b"\0" * (size > 12) for entry in entries)
    rows = bmp_runs(rng, width, height, bits == 4) if compression in (1, 2) else bmp_rows(rng, width, height, bits)
    if size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        top_down = compression in (0, 3) and rng.random() < 0.3
        info = struct.pack("<IIiHHIIIIII", size, width, -height if top_down else height, 1, bits, compression, len(rows),
                           0, 0, colours, 0)
        if compression == 3 or size > 40:
            info += struct.pack("<4I", *masks)[: max(12, size - 40) if size < 56 else 16]
        if size == 40 and compression != 3:
            info = info[:40]
        info += bytes(max(0, size - len(info)))
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset) + info + palette + rows


FORMATS = {"jpeg": jpeg, "png": png, "webp": webp, "gif": gif, "bmp": bmp}


def random_file(seed):
    """(format, bytes) of the seed-th file."""
    rng = random.Random(seed)
    form = list(FORMATS)[seed % len(FORMATS)]
    return form, FORMATS[form](rng)
