"""Runs clipc and reads what it writes: what the tests of this folder share."""

import ast
import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
import zlib

CLIPC = os.environ["CLIPC"]
SOURCE = os.environ["CLIPC_SOURCE_DIR"]
SAMPLES = os.path.join(SOURCE, "models/demo/samples")
DEMO_MODEL = os.path.join(SOURCE, "models/demo/model")
JPEG = os.path.join(SOURCE, "models/demo/eval/images/heldout_000.jpg")
TIMEOUT = 120


def sample(name):
    return os.path.join(SAMPLES, name + ".png")


def environment():
    kept = {key: value for key, value in os.environ.items() if key not in ("CLIPC_MODEL", "NO_COLOR")}
    return kept


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, pixels=None):
    """A gray PNG; without pixels its header makes a claim that no data backs."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(row) for row in pixels) if pixels else b""
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows))
            + png_chunk(b"IEND", b""))


def parse_npy(data):
    """(shape, flat list of floats) of a float32 C-order array."""
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    size = struct.unpack("<H", data[8:10])[0]
    assert (10 + size) % 64 == 0
    header = ast.literal_eval(data[10:10 + size].decode("ascii"))
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    values = data[10 + size:]
    count = 1
    for side in header["shape"]:
        count *= side
    assert len(values) == 4 * count, (len(values), header["shape"])
    return header["shape"], struct.unpack(f"<{count}f", values)


def read_npy(path):
    with open(path, "rb") as file:
        return parse_npy(file.read())


def rows_of(array):
    shape, values = array
    return [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]


def read_json(path):
    with open(path, "rb") as file:
        return json.loads(file.read().decode("utf-8"))


def scale_tensor(path, name, factor):
    """Multiplies one tensor of a safetensors file, which is float32 from then on."""
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    body = b""
    for key, tensor in sorted(((key, value) for key, value in header.items() if key != "__metadata__"),
                              key=lambda item: item[1]["data_offsets"]):
        begin, end = tensor["data_offsets"]
        values = data[8 + size + begin:8 + size + end]
        if key == name:
            letter, width = {"F32": ("f", 4), "F16": ("e", 2)}[tensor["dtype"]]
            numbers = struct.unpack(f"<{len(values) // width}{letter}", values)
            values = struct.pack(f"<{len(numbers)}f", *(number * factor for number in numbers))
            tensor["dtype"] = "F32"
        tensor["data_offsets"] = [len(body), len(body) + len(values)]
        body += values
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


class Case(unittest.TestCase):
    """Each test has an empty folder of its own and runs there."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="clipc-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, data):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        return path

    def run_clipc(self, *arguments, status=0, stdin=b"", env=None, **options):
        """Standard output as bytes; standard error is in self.stderr. A status of None is any."""
        options.setdefault("stdout", subprocess.PIPE)
        result = subprocess.run([CLIPC, *arguments], input=stdin, stderr=subprocess.PIPE, cwd=self.folder,
                                env={**environment(), **(env or {})}, timeout=TIMEOUT, **options)
        self.stderr = result.stderr.decode("utf-8")
        if status is not None:
            self.assertEqual(result.returncode, status, f"{arguments}: {self.stderr}")
        if status in (1, 2, 3):
            self.assertIn("clipc", self.stderr)
        return result.stdout

    def json_lines(self, *arguments, **options):
        return [json.loads(line) for line in self.run_clipc(*arguments, **options).decode("utf-8").splitlines()]

    def precision(self):
        """What --precision auto means on this machine."""
        return self.json_lines("bench", "--warm-up", "0", "--iterations", "1", "--no-roofline", "--json")[0]["precision"]

    def assert_only(self, *names):
        """No temporary file is left in the folder."""
        self.assertEqual(sorted(os.listdir(self.folder)), sorted(names))


def main():
    unittest.main(verbosity=1)
