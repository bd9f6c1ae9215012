"""Engine files for backend cuda: made, shown and checked where there is no GPU, and by a clipc without that backend."""

import json
import os

from program import SOURCE, Case, main

GOLDEN = os.path.join(SOURCE, "tests/golden/models/odd_widths")


class CudaFile(Case):
    def test_convert_and_inspect(self):
        for precision, devices in [("fp16", "sm_80"), ("bf16", "sm_80"), ("fp8", "sm_89"), ("int8", "sm_80")]:
            self.run_clipc("convert", GOLDEN, "g.clipc", "--backend", "cuda", "--precision", precision)
            self.assertIn(f"{precision} for cuda, {devices} and later, layout 1", self.stderr)
            shown = self.json_lines("inspect", "g.clipc", "--verify", "--layers", "--json")[0]
            self.assertEqual(shown["precision"], precision)
            self.assertEqual(shown["layout"], f"cuda, {devices} and later, layout 1")
            stored = {layer["stored"] for layer in shown["layers"] if ".layers." in layer["name"]}
            self.assertEqual(stored, {precision})
            directory = self.json_lines("inspect", "--json", "--model", GOLDEN)[0]
            for key in ["family", "image", "text", "preprocessing", "logit_scale", "default_template", "parameters"]:
                self.assertEqual(shown[key], directory[key])
            self.assertEqual(self.run_clipc("tokenize", "a cat", "--model", "g.clipc"),
                             self.run_clipc("tokenize", "a cat", "--model", GOLDEN))
        self.assert_only("g.clipc")

    def test_auto_is_fp16_and_build_is_convert(self):
        self.run_clipc("convert", GOLDEN, "a.clipc", "--backend", "cuda")
        made = self.json_lines("build", GOLDEN + "@cuda:fp16", "-o", "b.clipc", "--json")[0]
        with open(self.path("a.clipc"), "rb") as a, open(self.path("b.clipc"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual((made["backend"], made["isa"], made["precision"], made["written"]),
                         ("cuda", "sm_80 and later", "fp16", True))
        self.assertEqual(made["bytes"], os.path.getsize(self.path("b.clipc")))
        self.run_clipc("convert", "a.clipc", "c.clipc")  # as it is
        with open(self.path("a.clipc"), "rb") as a, open(self.path("c.clipc"), "rb") as c:
            self.assertEqual(a.read(), c.read())

    def test_kept_layers(self):
        self.run_clipc("build", GOLDEN + "@cuda:fp8", "-o", "k.clipc", "--keep-precise", "image.0.fc2,text.0.*")
        layers = self.json_lines("inspect", "k.clipc", "--layers", "--json")[0]["layers"]
        kept = {layer["name"] for layer in layers if layer["stored"] == "fp16" and ".layers." in layer["name"]}
        self.assertEqual(kept, {"image.layers.0.fc1", "image.layers.0.fc2"} |
                         {f"text.layers.0.{kind}" for kind in ["query_key_value", "attention_out", "fc1", "fc2"]})
        for arguments, words in [(["fp8", "image.0.fc2=bf16"], "kept in fp16"), (["fp16", "image.0.fc2"], "kept in fp16"),
                                 (["int8", "image.77.fc2"], "names no linear layer")]:
            self.run_clipc("convert", GOLDEN, "x.clipc", "--backend", "cuda", "--precision", arguments[0],
                           "--keep-precise", arguments[1], status=2)
            self.assertIn(words, self.stderr)
        self.assert_only("k.clipc")

    def test_refusals(self):
        self.run_clipc("convert", GOLDEN, "x.clipc", "--backend", "cuda", "--precision", "fp32", status=3)
        self.assertIn("no precision fp32", self.stderr)
        self.run_clipc("convert", GOLDEN, "g.clipc", "--backend", "cuda")
        self.run_clipc("convert", GOLDEN, "c.clipc", "--backend", "cpu", "--precision", "int8")
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "g.clipc", "--backend", "cpu", status=3)
        self.assertIn("packed for backend cuda", self.stderr)
        self.run_clipc("convert", "g.clipc", "x.clipc", "--backend", "cpu", status=3)
        self.assertIn("packed for backend cuda", self.stderr)
        self.run_clipc("convert", "c.clipc", "x.clipc", "--backend", "cuda", status=3)
        self.assertIn("packed for backend cpu", self.stderr)
        self.run_clipc("convert", "g.clipc", "x.clipc", "--precision", "int8", status=3)
        self.assertIn("convert the original", self.stderr)
        self.run_clipc("convert", "g.clipc", "directory/", status=3)
        self.assertIn("rounded to fp16", self.stderr)
        self.run_clipc("convert", os.path.join(SOURCE, "tests/golden/models/open_clip_resnet"), "x.clipc", "--backend",
                       "cuda", "--precision", "fp8", status=3)
        self.assertIn("ResNet image towers in fp16 and bf16, not in fp8", self.stderr)
        self.assert_only("g.clipc", "c.clipc")

    def test_families(self):
        """EVA's and CLIPA's parts have a place in a file; CoCa's are refused by name, and nothing is written."""
        for name in ("eva", "clipa"):
            model = os.path.join(SOURCE, "tests/golden/models", name)
            for precision in ("fp16", "fp8"):
                self.run_clipc("convert", model, "g.clipc", "--backend", "cuda", "--precision", precision)
                shown = self.json_lines("inspect", "g.clipc", "--verify", "--json")[0]
                for key, value in self.json_lines("inspect", "--json", "--model", model)[0].items():
                    if key in ("family", "image", "text", "preprocessing", "logit_scale", "parameters"):
                        self.assertEqual(shown[key], value, (name, key))
        coca = os.path.join(SOURCE, "tests/golden/models/coca")
        for target in (["convert", coca, "x.clipc", "--backend", "cuda"],
                       ["build", coca + "@cuda:int8", "-o", "x.clipc"]):
            self.run_clipc(*target, status=3)
            self.assertIn("attentional pooling (CoCa)", self.stderr)
        self.assert_only("g.clipc")

    def test_where_it_cannot_run_it_says_why(self):
        if os.path.exists("/dev/nvidiactl"):
            self.skipTest("there is a device here")
        self.run_clipc("convert", GOLDEN, "g.clipc", "--backend", "cuda")
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "g.clipc", status=3)
        self.assertIn("cuda", self.stderr)
        shown = self.run_clipc("inspect", "g.clipc").decode()
        self.assertIn("fp16, not on this machine: ", shown)

    def test_a_flipped_bit_is_found(self):
        self.run_clipc("convert", GOLDEN, "g.clipc", "--backend", "cuda")
        with open(self.path("g.clipc"), "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 1]))
        self.run_clipc("inspect", "g.clipc")
        self.run_clipc("inspect", "g.clipc", "--verify", status=3)
        self.assertIn("'image.block'", self.stderr)


if __name__ == "__main__":
    main()
