"""clipc compare: the numbers, the verdicts, tensors from elsewhere, and what is refused."""

import ast
import json
import math
import os
import shutil
import struct
import zipfile

from program import DEMO_MODEL, JPEG, Case, main, parse_npy, read_npy, sample


def npy(shape, values, kind="<f4"):
    text = repr({"descr": kind, "fortran_order": False, "shape": tuple(shape)}).encode()
    text += b" " * ((-10 - len(text) - 1) % 64) + b"\n"
    letter = {"<f4": "f", "<i4": "i"}[kind]
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + struct.pack(f"<{len(values)}{letter}", *values)


def floats_of(data):
    """As parse_npy, without its rule about the length of the header."""
    size = struct.unpack("<H", data[8:10])[0]
    shape = ast.literal_eval(data[10:10 + size].decode())["shape"]
    return shape, struct.unpack(f"<{(len(data) - 10 - size) // 4}f", data[10 + size:])


class Compare(Case):
    def compare(self, *arguments, **options):
        return json.loads(self.run_clipc("compare", *arguments, "--json", **options))

    def write_npz(self, name, arrays, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.path(name), "w", compression) as archive:
            for key, data in arrays.items():
                archive.writestr(key + ".npy", data)

    def tensors(self, result):
        return {tensor["name"]: tensor for tensor in result["tensors"]}

    def test_statistics_are_right(self):
        a, b = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.5, 3.0, 4.0, 4.0, 8.0]
        self.write_npz("a.npz", {"x": npy([2, 3], a)})
        self.write_npz("b.npz", {"x": npy([2, 3], b)})
        result = self.compare("a.npz", "b.npz", status=1)
        x = self.tensors(result)["x"]
        self.assertEqual((x["shape"], x["passed"], x["outside"]), ([2, 3], False, 3))
        self.assertAlmostEqual(x["absolute"]["mean"], 3.5 / 6)
        self.assertEqual((x["absolute"]["max"], x["absolute"]["max_at"], x["absolute"]["median"]), (2, 5, 0.25))
        self.assertAlmostEqual(x["relative"]["max"], 0.25)
        self.assertAlmostEqual(x["relative"]["mean"], (0.2 + 0.25 + 0.25) / 6)
        self.assertAlmostEqual(x["a"]["mean"], 3.5)
        self.assertAlmostEqual(x["a"]["std"], math.sqrt(35 / 12))
        self.assertEqual((x["a"]["min"], x["b"]["max"], sum(x["a"]["histogram"])), (1, 8, 6))
        rows = [sum(p * q for p, q in zip(a[i:i + 3], b[i:i + 3])) /
                math.sqrt(sum(p * p for p in a[i:i + 3]) * sum(q * q for q in b[i:i + 3])) for i in (0, 3)]
        self.assertAlmostEqual(x["least_cosine"], min(rows))
        self.assertEqual(x["least_cosine_row"], rows.index(min(rows)))

    def test_each_limit(self):
        self.write_npz("a.npz", {"x": npy([2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "y": npy([1], [1.0])})
        self.write_npz("b.npz", {"x": npy([2, 3], [1.0, 2.5, 3.0, 4.0, 4.0, 8.0]), "y": npy([1], [2.0])})
        for options, failed in [
            ([], 2), (["--atol", "2"], 0), (["--atol", "1.9"], 1), (["--rtol", "0.5"], 0), (["--rtol", "0.24"], 2),
            (["--atol", "0.4", "--rtol", "0.2"], 1),
            (["--check-error-stat", "max", "--atol", "2"], 0), (["--check-error-stat", "max", "--rtol", "0.3"], 1),
            (["--check-error-stat", "mean", "--atol", "0.6"], 1), (["--check-error-stat", "mean", "--atol", "0.58"], 2),
            (["--check-error-stat", "median", "--atol", "0.25"], 1),
            (["--check-error-stat", "quantile", "--error-quantile", "0.5", "--atol", "1e-9"], 1),
            (["--min-cosine", "0.97"], 0), (["--min-cosine", "0.99"], 1), (["--min-cosine", "0.97", "--atol", "1.9"], 1),
        ]:
            result = self.compare("a.npz", "b.npz", *options, status=1 if failed else 0)
            self.assertEqual(result["failed"], failed, options)
        self.assertEqual(len(self.compare("a.npz", "b.npz", "--fail-fast", status=1)["tensors"]), 1)

    def test_what_is_not_finite_fails(self):
        self.write_npz("a.npz", {"x": npy([3], [1.0, math.nan, math.inf])})
        self.write_npz("b.npz", {"x": npy([3], [1.0, 2.0, 3.0])})
        x = self.tensors(self.compare("a.npz", "b.npz", "--atol", "1e20", status=1))["x"]
        self.assertEqual((x["a"]["nan"], x["a"]["infinite"], x["b"]["nan"]), (1, 1, 0))
        text = self.run_clipc("compare", "a.npz", "b.npz", "--stats", "--html", "page.html", status=1).decode()
        self.assertIn("1 NaN", text)
        self.assertIn("inputs  none: both are tensors", text)
        with open(self.path("page.html"), encoding="utf-8") as file:
            for words in (text, file.read()):
                self.assertIn("NaN", words)
                self.assertNotRegex(words, r"\bnan\b")

    def test_names_and_shapes(self):
        self.write_npz("a.npz", {"x": npy([3], [1, 2, 3]), "only": npy([1], [1])})
        self.write_npz("b.npz", {"x": npy([1, 3], [1, 2, 3])})
        result = self.tensors(self.compare("a.npz", "b.npz", status=1))
        self.assertEqual((result["x"]["passed"], result["only"]["passed"]), (False, None))
        self.write_npz("c.npz", {"other": npy([1], [1])})
        self.run_clipc("compare", "b.npz", "c.npz", status=3)
        self.assertIn("no tensor of the same name", self.stderr)
        self.write("x.npy", npy([3], [1, 2, 3]))
        self.write("y.npy", npy([3], [1, 2, 4]))
        self.assertFalse(self.tensors(self.compare("x.npy", "y.npy", status=1))["x"]["passed"])
        os.mkdir(self.path("folder"))
        self.write("folder/x.npy", npy([3], [1, 2, 3]))
        self.write("folder/only.npy", npy([1], [1]))
        self.assertEqual(self.compare("a.npz", "folder")["failed"], 0)

    def test_models_on_the_same_inputs(self):
        same = self.tensors(self.compare("@cpu:fp32", DEMO_MODEL + "@cpu:fp32", "--mark-all"))
        self.assertEqual(len(same), 1 + 12 + 2 + 1 + 1 + 8 + 2 + 1)
        self.assertTrue(all(tensor["absolute"]["max"] == 0 for tensor in same.values()))
        exact = self.compare("@ref", "@cpu:fp32", "--count", "2", "--atol", "1e-5")
        self.assertEqual([tensor["shape"] for tensor in exact["tensors"]], [[2, 256], [2, 256]])
        coarse = self.tensors(self.compare("@cpu:fp32", "@cpu:int8", "--mark-all", "--min-cosine", "0.99"))
        self.assertEqual(coarse["text.embedding"]["absolute"]["max"], 0)
        self.assertTrue(0.99 < coarse["image_embeddings"]["least_cosine"] < 0.99999)
        self.compare("@cpu:fp32", "@cpu:int8", "--min-cosine", "0.99999", status=1)
        self.run_clipc("convert", "demo.clipc", "--precision", "int8")
        result = self.compare("demo.clipc", "@:int8", "--backend", "cpu", "--atol", "0")
        self.assertEqual(result["failed"], 0)

    def test_inputs_and_outputs_are_kept(self):
        self.run_clipc("compare", "@cpu:fp32", "@cpu:bf16", "--image", sample("cat"), "-i", JPEG, "--text", "a cat",
                       "--save-inputs", "in.npz", "--save-outputs", "out.npz", "--min-cosine", "0.99")
        self.run_clipc("preprocess", sample("cat"), JPEG, "-o", "pixels.npy")
        with zipfile.ZipFile(self.path("in.npz")) as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual(parse_npy(archive.read("pixels.npy")), read_npy(self.path("pixels.npy")))
            ids = archive.read("ids.npy")
            self.assertEqual(struct.unpack("<4i", ids[-16:]), tuple(self.json_lines("tokenize", "a cat")[0]))
        self.run_clipc("embed", "image", sample("cat"), JPEG, "-o", "e.npy", "--backend", "cpu", "--precision", "fp32")
        with zipfile.ZipFile(self.path("out.npz")) as archive:
            self.assertEqual(parse_npy(archive.read("image_embeddings.npy")), read_npy(self.path("e.npy")))
        self.assertEqual(self.compare("@cpu:fp32", "out.npz", "--load-inputs", "in.npz", "--atol", "0")["failed"], 0)
        first = self.compare("@cpu:fp32", "@cpu:int8", "--seed", "7", status=1)
        self.assertEqual(first, self.compare("@cpu:fp32", "@cpu:int8", "--seed", "7", status=1))
        self.assertNotEqual(first, self.compare("@cpu:fp32", "@cpu:int8", "--seed", "8", status=1))

    def test_reference_of_any_length_and_its_own_inputs(self):
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--save-inputs", "in.npz", "--save-outputs", "out.npz")
        with zipfile.ZipFile(self.path("in.npz")) as given, zipfile.ZipFile(self.path("out.npz")) as made:
            shape, values = floats_of(made.read("image_embeddings.npy"))
            arrays = {name[:-4]: given.read(name) for name in given.namelist()}
            arrays["image_embeddings"] = npy(shape, [3 * value for value in values])
        self.write_npz("all.npz", arrays)
        self.assertEqual(self.compare("@cpu:fp32", "all.npz", "--atol", "1e-6")["failed"], 0)
        self.compare("@cpu:fp32", "all.npz", "--atol", "1e-6", "--no-normalize", status=1)

    def refused(self, words, kept, *arguments):
        """The command ends with status 2 and leaves the files as they are."""
        before = {name: self.content(name) for name in kept}
        self.run_clipc("compare", *arguments, status=2)
        self.assertIn(words, self.stderr, arguments)
        for name in kept:
            self.assertEqual(self.content(name), before[name], arguments)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_no_output_replaces_what_is_read(self):
        shutil.copytree(DEMO_MODEL, self.path("own"))
        self.write("texts.txt", "a cat\na dog\n")
        self.write("list.txt", sample("cat") + "\n")
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--save-inputs", "in.npz", "--save-outputs", "out.npz")
        os.mkdir(self.path("folder"))
        shutil.copy(self.path("out.npz"), self.path("folder/out.npz"))
        os.symlink("out.npz", self.path("link.npz"))
        weights = "own/model.safetensors"
        model, given = "is a file of the model", "is an input and would be replaced"
        for option in ("--save-inputs", "--save-outputs", "--html"):
            for words, name, arguments in [
                (model, weights, ["own", "@cpu"]), (model, weights, ["@cpu", "own@cpu:fp32"]),
                (model, weights, ["own", "out.npz", "--load-inputs", "in.npz"]),
                (given, "out.npz", ["@cpu", "out.npz", "--load-inputs", "in.npz"]),
                (given, "link.npz", ["out.npz", "@cpu", "--load-inputs", "in.npz"]),
                (given, "folder/out.npz", ["@cpu", "folder", "--load-inputs", "in.npz"]),
                (given, "in.npz", ["@cpu", "@cpu", "--load-inputs", "in.npz"]),
                (given, "texts.txt", ["@cpu", "@cpu", "-f", "texts.txt"]),
                (given, "list.txt", ["@cpu", "@cpu", "--image", "@list.txt"]),
            ]:
                self.refused(words, [name], *arguments, option, name)
        self.refused(given, ["out.npz"], "folder", "out.npz", "--html", "out.npz")

    def test_no_output_replaces_another(self):
        os.mkdir(self.path("sub"))
        for first, second in [("x", "x"), ("x", "./x"), ("sub/x", "sub/../sub/x"), ("-", "-")]:
            for one, other in [("--save-inputs", "--save-outputs"), ("--html", "--save-inputs")]:
                self.refused("two outputs", [], "@cpu", "@cpu", one, first, other, second)
        self.assert_only("sub")
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--save-inputs", "x", "--save-outputs", "sub/x")
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--save-inputs", "/dev/null", "--save-outputs",
                       "/dev/null")

    def test_a_damaged_archive(self):
        self.write_npz("a.npz", {"x": npy([2], [1.0, 2.0])})
        data = bytearray(self.content("a.npz"))
        data[data.index(struct.pack("<2f", 1, 2))] ^= 1
        self.write("b.npz", bytes(data))
        self.run_clipc("compare", "a.npz", "a.npz")
        self.run_clipc("compare", "a.npz", "b.npz", status=3)
        self.assertIn("'x' is damaged", self.stderr)

    def test_page(self):
        self.run_clipc("compare", "@cpu:fp32", "@cpu:int8", "--mark-all", "--html", "page.html", status=1)
        with open(self.path("page.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertEqual(page.count("data:image/bmp;base64,"), 28)
        self.assertNotIn("http", page)
        self.assertIn("image.layers.3.mlp", page)
        self.assert_only("page.html")

    def test_refusals(self):
        self.write_npz("a.npz", {"x": npy([1], [1])})
        self.write_npz("zip.npz", {"x": npy([1000], [1] * 1000)}, zipfile.ZIP_DEFLATED)
        with zipfile.ZipFile(self.path("text.npz"), "w") as archive:
            archive.writestr("x.txt", "x")
        self.write("broken.npz", b"PK\x03\x04 and so on")
        for arguments, status, words in [
            (["@cpu"], 2, "two operands"), (["@cpu", "@cpu", "@cpu"], 2, "two operands"),
            (["@cpu", "@gpu"], 2, "no backend and precision"), (["@cpu:fp31", "@cpu"], 2, "no backend and precision"),
            (["@", "@cpu"], 2, "no backend and precision"), (["@ref:int8", "@cpu"], 3, "no precision int8"),
            (["missing", "@cpu"], 3, "missing"), (["a.npz", "@cpu"], 2, "which inputs"),
            (["@cpu", "@cpu", "--atol", "x"], 2, "not a number"), (["@cpu", "@cpu", "--atol", "-1"], 2, "out of range"),
            (["@cpu", "@cpu", "--min-cosine", "2"], 2, "out of range"),
            (["@cpu", "@cpu", "--load-inputs", "a.npz"], 3, "neither 'pixels' nor 'ids'"),
            (["@cpu", "@cpu", "--image", "none.png"], 3, "none.png"), (["zip.npz", "a.npz"], 3, "numpy.savez"),
            (["text.npz", "a.npz"], 3, "no .npy array"), (["broken.npz", "a.npz"], 3, "broken.npz"),
            (["@cpu", "@cpu", "--model", DEMO_MODEL], 2, "does not belong"),
            (["@cpu", "@cpu", "--load-inputs", "a.npz", "--image", JPEG], 2, "all the inputs"),
            (["@cpu", "@cpu", "--load-inputs", "a.npz", "--text", "a"], 2, "all the inputs"),
            (["a.npz", "a.npz", "--image", JPEG], 2, "take no inputs"),
            (["a.npz", "a.npz", "--save-inputs", "in.npz"], 2, "take no inputs"),
            (["@cpu", "@ref", "--tensorrt-cache", "plans"], 2, "PATH@tensorrt"),
            (["@cpu", "@cpu", "-f", "-", "--image", "-"], 2, "read once only"),
        ]:
            self.run_clipc("compare", *arguments, status=status)
            self.assertIn(words, self.stderr, arguments)


class Operands(Case):
    def test_bench_and_inspect_take_them(self):
        for command in (["bench", "--warm-up", "0", "--iterations", "1"], ["inspect"]):
            for operand, precision in [("@cpu:int8", "int8"), (DEMO_MODEL + "@:fp32", "fp32")]:
                self.assertEqual(self.json_lines(*command, operand, "--json")[0]["precision"], precision)
            self.run_clipc(*command, DEMO_MODEL, "--model", DEMO_MODEL, status=2)
            self.assertIn("name the model", self.stderr)
            self.run_clipc(*command, DEMO_MODEL + "@tpu", status=2)
            self.assertIn("no backend", self.stderr)

    def test_a_file_whose_name_has_an_at(self):
        os.symlink(DEMO_MODEL, self.path("model@cpu:int8"))
        self.assertEqual(self.json_lines("inspect", "model@cpu:int8", "--json", "--precision", "fp32")[0]["precision"],
                         "fp32")


if __name__ == "__main__":
    main()
