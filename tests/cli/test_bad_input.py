"""Hostile images and broken models: one clear sentence that names the file, the documented status, nothing lost."""

import json
import os
import resource
import shutil
import struct
import threading

from program import DEMO_MODEL, JPEG, Case, main, png, png_chunk, read_json, read_npy, sample


class Images(Case):
    def write_bad_images(self):
        with open(JPEG, "rb") as file:
            jpeg = file.read()
        with open(sample("cat"), "rb") as file:
            picture = file.read()
        bad = {
            "truncated.jpg": jpeg[:len(jpeg) * 2 // 3],
            "truncated.png": picture[:len(picture) // 2],
            "header_only.jpg": jpeg[:20],
            "zero.png": b"",
            "text.png": b"this is no image\n" * 9,
            "huge.png": png(70000, 70000),
            "largest.png": png(2 ** 31 - 1, 2 ** 31 - 1),
            "huge.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 70000, 70000, 1, 24, 0, 0, 0, 0, 0, 0),
            "huge.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
                        + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0),
            "signature.png": b"\x89PNG\r\n\x1a\n",
            "lying.webp": b"RIFF\xff\xff\xff\x7fWEBPVP8 \xff\xff\xff\x7f",
        }
        for name, data in bad.items():
            self.write(name, data)
        os.mkdir(self.path("list.d"))
        return sorted(bad)

    def test_each_is_named_and_the_rest_is_done(self):
        bad = self.write_bad_images()
        self.run_clipc("embed", "image", *bad, sample("cat"), "-o", "out.npy", status=1)
        self.assertEqual(read_npy(self.path("out.npy"))[0][0], 1)
        sidecar = read_json(self.path("out.npy.json"))
        self.assertEqual([entry["input"] for entry in sidecar["skipped"]], bad)
        lines = self.stderr.splitlines()
        self.assertEqual(lines.pop(), f"clipc: {len(bad)} of {len(bad) + 1} inputs failed")
        self.assertEqual(len(lines), len(bad))
        for name, line in zip(bad, lines):
            self.assertRegex(line, rf"^clipc: {name}: .{{4,}}$")
            if name in ("huge.png", "largest.png", "huge.bmp"):
                self.assertIn("the header claims", line)

    def test_a_file_cut_short_while_it_is_read(self):
        """Truncated by another process at any moment: a failed image at worst, never the end of the run."""
        side = 6000
        header = struct.pack("<IHHIIiiHHIIiiII", 54 + 3 * side * side, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        shutil.copytree(DEMO_MODEL, self.path("torchvision"))
        self.write("torchvision/clipc.json", '{"preprocessing_order": "torchvision"}')
        for model in [[], ["--model", "torchvision"]]:
            for delay in [0.0, 0.02, 0.05, 0.1, 0.2]:
                path = self.write("large.bmp", b"BM" + header)
                os.truncate(path, 54 + 3 * side * side)
                cutter = threading.Timer(delay, os.truncate, [path, 1000])
                cutter.start()
                self.run_clipc("embed", "image", "large.bmp", sample("cat"), "-o", "out.npy", *model, status=None)
                cutter.join()
                rows = [row["input"] for row in read_json(self.path("out.npy.json"))["rows"]]
                self.assertIn(rows, [[sample("cat")], ["large.bmp", sample("cat")]])

    def test_a_claim_costs_no_memory(self):
        """1.3 GB of samples by the header of a file of 74 bytes."""
        header = struct.pack(">IIBBBBB", 13000, 13000, 16, 6, 0, 0, 0)
        self.write("claim.png", b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"x\x9c")
                   + png_chunk(b"IEND", b""))
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.run_clipc("preprocess", "claim.png", "-o", "o.npy", "--threads", "1", status=1)
        after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertTrue(before > 1 << 20 or after < 1 << 19, f"{before} KiB, then {after}")

    def test_neighbours_are_not_changed(self):
        bad = self.write_bad_images()
        good = ([sample("cat"), sample("dog")] * len(bad))[:len(bad)]
        mixed = [name for pair in zip(bad, good) for name in pair]
        self.run_clipc("embed", "image", *mixed, "-o", "mixed.npy", status=1)
        self.run_clipc("embed", "image", *good, "-o", "good.npy")
        self.assertEqual(read_npy(self.path("mixed.npy")), read_npy(self.path("good.npy")))

    def test_files_without_a_size(self):
        for path, reason in [("/dev/zero", "longer than"), ("/proc/self/status", "not a JPEG"), ("/dev/null", "empty")]:
            self.run_clipc("classify", path, "--labels", "cat,dog", status=1)
            self.assertIn(f"{path}: ", self.stderr)
            self.assertIn(reason, self.stderr)

    def test_limit_of_pixels(self):
        self.write("small.png", png(20, 10, [[128] * 20] * 10))
        labels = ["--labels", "cat,dog"]
        self.run_clipc("classify", "small.png", *labels, "--max-pixels", "200")
        self.run_clipc("classify", "small.png", *labels, "--max-pixels", "199", status=1)
        self.assertIn("small.png", self.stderr)

    def test_extreme_shapes(self):
        for width, height in [(1, 1), (1000, 4), (4, 30000)]:
            self.write("image.png", png(width, height, [[200] * width] * height))
            self.run_clipc("preprocess", "image.png", "-o", "out.npy")
            shape, values = read_npy(self.path("out.npy"))
            self.assertEqual(shape[:2], (1, 3))
            self.assertLess(max(values) - min(values), 1)


class Models(Case):
    def setUp(self):
        super().setUp()
        shutil.copytree(DEMO_MODEL, self.path("model"))
        os.chmod(self.path("model"), 0o755)

    def reject(self, *words):
        for arguments in [["inspect"], ["tokenize", "a"], ["classify", sample("cat"), "--labels", "cat,dog"]]:
            output = self.run_clipc(*arguments, "--model", "model", status=3)
            self.assertEqual(output, b"")
            self.assertEqual(len(self.stderr.splitlines()), 1)
            for word in words:
                self.assertIn(word, self.stderr)

    def replace(self, name, data):
        os.remove(self.path("model", name))
        if data is not None:
            self.write("model/" + name, data)

    def read(self, name):
        with open(self.path("model", name), "rb") as file:
            return file.read()

    def test_no_model(self):
        for path in ["nowhere", "/dev/null", sample("cat"), ""]:
            self.run_clipc("inspect", "--model", path, status=3)
        os.mkdir(self.path("empty"))
        self.run_clipc("inspect", "--model", "empty", status=3)
        self.assertIn("empty", self.stderr)

    def test_missing_files(self):
        for name in ["config.json", "model.safetensors"]:
            data = self.read(name)
            self.replace(name, None)
            self.reject(name)
            self.write("model/" + name, data)

    def test_pipes_instead_of_files(self):
        for name in os.listdir(self.path("model")):
            data = self.read(name)
            os.remove(self.path("model", name))
            os.mkfifo(self.path("model", name))
            with self.subTest(name=name):
                self.reject(name, "not a regular file")
            self.replace(name, data)

    def test_a_pipe_instead_of_the_model(self):
        """Nobody writes to it: opening it would wait for ever."""
        os.mkfifo(self.path("pipe"))
        for arguments in [["inspect", "pipe"], ["tokenize", "a", "--model", "pipe"], ["inspect", "--visual", "pipe"],
                          ["inspect", "/dev/null"]]:
            self.run_clipc(*arguments, status=3)
            self.assertIn("this is a pipe or a device", self.stderr)

    def test_config(self):
        whole = self.read("config.json")
        self.replace("config.json", whole[:len(whole) // 2])
        self.reject("config.json")
        for tower, key in [("text_config", "num_hidden_layers"), ("vision_config", "num_attention_heads"),
                           ("vision_config", "patch_size"), ("text_config", "hidden_size")]:
            for value in [0, -1, 10**18, 1.5, "x"]:
                config = json.loads(whole)
                config[tower][key] = value
                self.replace("config.json", json.dumps(config))
                with self.subTest(key=key, value=value):
                    self.reject("config.json")

    def test_weights(self):
        whole = self.read("model.safetensors")
        size = struct.unpack("<Q", whole[:8])[0]
        header = json.loads(whole[8:8 + size])
        name = next(name for name in header if name.endswith("visual_projection.weight"))

        def with_header(change):
            changed = json.loads(json.dumps(header))
            change(changed)
            text = json.dumps(changed).encode()
            return struct.pack("<Q", len(text)) + text + whole[8 + size:]

        for data in [
            b"",
            whole[:7],
            whole[:100],
            whole[:-1000],
            struct.pack("<Q", 1 << 30) + whole[8:2000],
            struct.pack("<Q", (1 << 64) - 1) + whole[8:2000],
            with_header(lambda h: h.pop(name)),
            with_header(lambda h: h[name].update(shape=[3, 5])),
            with_header(lambda h: h[name].update(data_offsets=[-8, 8])),
            with_header(lambda h: h[name].update(data_offsets=[0, 1 << 62])),
            with_header(lambda h: h[name].update(shape=[1 << 40, 1 << 40])),
        ]:
            self.replace("model.safetensors", data)
            self.reject("model.safetensors")

    def test_tokenizer(self):
        whole = self.read("vocab.json")
        self.replace("vocab.json", whole[:len(whole) // 2])
        self.reject("vocab.json")

    def test_outputs_are_left_alone(self):
        self.replace("config.json", "{}")
        self.run_clipc("embed", "text", "a", "-o", "out.npy", "--model", "model", status=3)
        self.assert_only("model")


if __name__ == "__main__":
    main()
