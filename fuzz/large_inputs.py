#!/usr/bin/env python3
"""Runs a fuzz target on files of many megabytes that hold as many things for their size as their format allows: what no
input may make the library allocate (allocation_limit.h) grows with the file, and fuzzers make small ones.

    large_inputs.py NAME PROGRAM [ONLY]
"""
import io
import pathlib
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

MIB = 1 << 20


def json_texts(size=4 * MIB):
    """Objects of numbers, texts and objects, at the densities at which one or another of them counts most."""
    yield "numbers", b'{"a":[' + b"0," * (size // 2) + b"0]}"
    yield "objects", b'{"a":[' + b"{}," * (size // 3) + b"0]}"
    yield "escapes", b'{"a":"' + b"\\n" * (size // 2) + b'"}'
    yield "deep", b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"
    for width in (1, 16, 32):
        yield f"keys of {width}", b"{" + b",".join(b'"%0*x":0' % (width, i) for i in range(size // (width + 5))) + b"}"
        yield f"texts of {width}", b'{"a":[' + b",".join(b'"%0*x"' % (width, i) for i in range(size // (width + 3))) + b"]}"


def pairs_of(count):
    """Tokens of three letters, and each way to merge one from a letter and two."""
    letters = [bytes([ord("a") + i]) for i in range(26)]
    words = [a + b for a in letters for b in letters]
    words += [a + word for a in letters for word in words]
    words += [a + word for word in words[26 ** 2:] for a in letters]
    words = words[:count]
    known = set(words) | set(letters)
    merges = [(word[:cut], word[cut:]) for word in words for cut in range(1, len(word))
              if word[:cut] in known and word[cut:] in known]
    return letters + words, merges


def tokenizers():
    tokens, merges = pairs_of(250000)
    vocabulary = b"{" + b",".join(b'"%s":%d' % (token, i) for i, token in enumerate(tokens)) + b"}"
    for name, merge in (("pairs", b'["%s","%s"]'), ("texts", b'"%s %s"')):
        yield f"merges as {name}", (b'\0{"model":{"type":"BPE","byte_fallback":true,"vocab":' + vocabulary + b',"merges":['
                                    + b",".join(merge % pair for pair in merges) + b"]}}")
    yield "unigram", (b'\0{"model":{"type":"Unigram","unk_id":0,"vocab":['
                      + b",".join(b'["%s",-%d]' % (token, i) for i, token in enumerate(tokens)) + b"]}}")
    yield "vocabulary", b"\1" + vocabulary
    yield "short merges", b"\2" + b"a a\n" * (4 * MIB)
    for name, text in json_texts():
        yield name, bytes([1 if name.startswith("keys") else 0]) + text


def tensor_tables():
    for name, text in json_texts(24 * MIB):
        if name in ("numbers", "keys of 1", "keys of 32"):
            yield name, struct.pack("<Q", len(text)) + text
    for count in (20000, 100000):
        table = b"{" + b",".join(b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(count)) + b"}"
        yield f"{count} tensors", struct.pack("<Q", len(table)) + table


def archive(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as written:
        for name, content in members:
            written.writestr(name, content)
    return file.getvalue()


def archives():
    yield "members", archive((f"{i}.npy", b"") for i in range(60000))
    for name, code in (("none", b"N"), ("tuples", b")"), ("lists", b"]"), ("dicts", b"}"), ("marks", b"("), ("memo", b"N\x94"),
                       ("integers", b"K\0"), ("texts", b"X\0\0\0\0"), ("places", b"Nq\0"), ("marked", b"(t")):
        yield name, archive([("a/data.pkl", b"\x80\x02" + code * (4 * MIB // len(code)) + b"."), ("a/version", b"3\n")])


def field(number, content):
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def graphs():
    node, attribute, text = field(1, b""), field(5, b""), field(1, b"")
    for name, part in (("nodes", node), ("weights", field(5, b"")), ("inputs", field(11, b"")), ("outputs", field(12, b"")),
                       ("attributes", field(1, attribute * 40)), ("operands", field(1, text * 60))):
        for count in (60000, 400000):
            yield f"{count} {name}", field(7, part * count)
    yield "one node's attributes", field(7, field(1, attribute * 3000000))
    yield "one node's operands", field(7, field(1, text * 3000000))
    yield "dimensions", field(7, field(5, field(1, b"\1" * (8 * MIB))))
    yield "metadata", field(14, b"") * 3000000


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def images():
    for width, height, colour, channels in ((8000, 8000, 0, 1), (8000, 4000, 2, 3), (4000, 4000, 6, 4), (30000, 30000, 0, 1)):
        packer = zlib.compressobj(9)
        rows = b"".join(packer.compress(bytes(1 + width * channels)) for _ in range(min(height, 8000))) + packer.flush()
        yield f"{width} x {height}, {colour}", (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
            ">IIBBBBB", width, height, 8, colour, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


INPUTS = {"config": json_texts, "tuning": json_texts, "tokenizer": tokenizers, "safetensors": tensor_tables,
          "torch_file": archives, "npz": archives, "onnx": graphs, "onnx_replace": graphs, "image": images}


def main():
    name, program = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, (kind, content) in enumerate(INPUTS[name]()):
            if len(sys.argv) > 3 and sys.argv[3] != kind:
                continue
            files.append(pathlib.Path(folder, f"{number:02} {kind}"))
            files[-1].write_bytes(content)
        sys.exit(subprocess.run([program, "-rss_limit_mb=2048", "-timeout=60", *files], check=False).returncode != 0)


if __name__ == "__main__":
    main()
