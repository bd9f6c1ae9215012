"""clipc build and clipc debug precision: a gate that is missed, the layers that cause it, a gate that is passed."""

import json
import os

from program import DEMO_MODEL, SOURCE, Case, main

EVAL = os.path.join(SOURCE, "models/demo/eval")
INPUTS = ["--image", os.path.join(SOURCE, "models/demo/samples"), "-f", os.path.join(EVAL, "labels.txt")]
GATE = ["--accuracy-gate", "cos:0.9999"]


class Build(Case):
    def least_cosine(self, model):
        result = json.loads(self.run_clipc("compare", "@cpu:fp32", model, "--json", "--atol", "10", *INPUTS))
        return min(tensor["least_cosine"] for tensor in result["tensors"])

    def test_gate_layers_and_rebuild(self):
        self.run_clipc("build", "@cpu:int8", "-o", "d.clipc", *GATE, *INPUTS, status=1)
        self.assertIn("too little by", self.stderr)
        self.assert_only()
        found = self.json_lines("debug", "precision", "@cpu:int8", *GATE, *INPUTS, "--json")[0]
        kept = [layer["name"] for layer in found["layers"] if layer["kept"]]
        self.assertEqual(sorted(found["keep_precise"].split(",")), sorted(kept))
        self.assertTrue(0 < len(kept) < len(found["layers"]) / 2)
        self.assertLess(found["before"]["least_cosine"], 0.9999)
        self.assertGreaterEqual(found["after"]["least_cosine"], 0.9999)
        for layer in kept:  # none can be spared
            rest = ",".join(name for name in kept if name != layer)
            self.run_clipc("build", "@cpu:int8", "-o", "x.clipc", *GATE, *INPUTS,
                           *(["--keep-precise", rest] if rest else []), status=1)
        made = self.json_lines("build", DEMO_MODEL, "-o", "d.clipc", "--precision", "int8", "--keep-precise",
                               found["keep_precise"], *GATE, *INPUTS, "--json")[0]
        self.assertTrue(made["written"])
        self.assertEqual(made["bytes"], os.path.getsize(self.path("d.clipc")))
        self.assertAlmostEqual(made["least_cosine"], found["after"]["least_cosine"], places=9)
        self.assertAlmostEqual(self.least_cosine("d.clipc"), made["least_cosine"], places=7)
        self.assert_only("d.clipc")

    def test_workspace(self):
        """A limit that the largest batch passes, one that it does not, and the same of a smaller batch."""
        shapes = ["--image-shapes", "1,2,64", "--text-shapes", "1,1,2"]
        self.run_clipc("build", "-o", "d.clipc", *shapes, "--workspace", "1G")
        self.run_clipc("convert", DEMO_MODEL, "c.clipc")
        with open(self.path("d.clipc"), "rb") as built, open(self.path("c.clipc"), "rb") as converted:
            self.assertEqual(built.read(), converted.read())
        self.run_clipc("build", "-o", "e.clipc", *shapes, "--workspace", "64K", status=1)
        self.assertRegex(self.stderr, "image tower takes .* MiB of workspace for batches of 64, and --workspace is 64K")
        self.run_clipc("build", "-o", "e.clipc", *shapes, "--workspace", "1G", "-v")
        takes = [int(line.split("takes ")[1].split()[0]) for line in self.stderr.splitlines() if "tower takes" in line]
        self.assertEqual(len(takes), 2)
        self.run_clipc("build", "-o", "e.clipc", *shapes, "--workspace", str(max(takes)))
        self.run_clipc("build", "-o", "f.clipc", *shapes, "--workspace", str(max(takes) - 1), status=1)
        self.run_clipc("build", "-o", "f.clipc", "--batch", "1", "--workspace", str(max(takes) - 1))
        self.assert_only("c.clipc", "d.clipc", "e.clipc", "f.clipc")

    def test_shapes(self):
        self.run_clipc("build", "-o", "d.clipc", "--accuracy-gate", "cos:0.9", "--image-shapes", "1,8,32")
        for words in [["--image-shapes", "1,8"], ["--text-shapes", "1,8,32,64"], ["--image-shapes", "8,1,32"],
                      ["--image-shapes", "1,33,32"], ["--image-shapes", "0,1,2"], ["--text-shapes", ""],
                      ["--text-shapes", "1,2,3", "--batch", "2"], ["--workspace", ""], ["--workspace", "x"],
                      ["--workspace", "1T"], ["--workspace", "-1"], ["--workspace", "1GG"], ["--workspace", "0"],
                      ["--workspace", "99999999999999999999"], ["--workspace", "99999999999G"]]:
            self.run_clipc("build", "-o", "e.clipc", *GATE, *words, status=2)
            self.assertIn(words[0], self.stderr)
        self.run_clipc("build", "-o", "e.clipc", "--image-shapes", "1,2,3", status=2)
        self.assertIn("an engine file takes any batch", self.stderr)
        self.assert_only("d.clipc")

    def test_plans_of_tensorrt(self):
        cache = ["--backend", "tensorrt", "--tensorrt-cache", "plans"]
        self.run_clipc("build", *cache, "-o", "e.clipc", status=2)
        self.assertIn("no engine files for backend tensorrt", self.stderr)
        self.run_clipc("build", "--backend", "tensorrt", status=2)
        self.run_clipc("build", *cache, *GATE, status=2)
        self.run_clipc("build", *cache, "--tune", "fast", status=2)
        self.run_clipc("build", *cache, "--image-shapes", "1,4,8", status=3)  # nowhere here
        self.assert_only()

    def test_without_a_gate_it_is_convert(self):
        self.run_clipc("build", "-o", "a.clipc", "--precision", "bf16")
        self.run_clipc("convert", "b.clipc", "--precision", "bf16")
        with open(self.path("a.clipc"), "rb") as a, open(self.path("b.clipc"), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_texts_are_not_replaced(self):
        self.write("texts.txt", "a\nb\n")
        self.run_clipc("build", "-o", "texts.txt", *GATE, "-f", "texts.txt", status=2)
        self.assertIn("is an input and would be replaced", self.stderr)
        self.assert_only("texts.txt")

    def test_a_missed_gate_leaves_what_was_there(self):
        self.write("a.clipc", "before")
        self.run_clipc("build", "@cpu:int8", "-o", "a.clipc", "--accuracy-gate", "cos:1", status=1)
        with open(self.path("a.clipc"), "rb") as file:
            self.assertEqual(file.read(), b"before")
        self.assert_only("a.clipc")

    def test_top1(self):
        made = self.json_lines("build", "-o", "a.clipc", "--precision", "int8", "--accuracy-gate", "top1:0.9",
                               *INPUTS, "--json")[0]
        self.assertTrue(0.9 <= made["top1"] <= 1)
        self.run_clipc("build", "-o", "b.clipc", "--precision", "int8", "--accuracy-gate", "cos:1,top1:0.9", *INPUTS,
                       status=1)

    def test_nothing_to_keep(self):
        found = self.json_lines("debug", "precision", "@cpu:bf16", "--accuracy-gate", "cos:0.9", "--json")[0]
        self.assertEqual(found["keep_precise"], "")
        self.assertEqual(found["before"], found["after"])

    def test_fp32_is_taken_where_bf16_is_not_enough(self):
        found = self.json_lines("debug", "precision", "@cpu:int8", "--accuracy-gate", "cos:0.99999", *INPUTS,
                                "--json")[0]
        self.assertIn("=fp32", found["keep_precise"])
        self.assertGreaterEqual(found["after"]["least_cosine"], 0.99999)

    def test_refusals(self):
        for arguments, status, words in [
            (["build"], 2, "no output file"), (["build", "-o", "-"], 2, "has a name"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "cosine"], 2, "cos:NUMBER"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "cos:2"], 2, "out of range"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "top1:1", "--text", "a"], 2, "at least two texts"),
            (["build", "-o", "a.clipc", "--backend", "ref"], 3, "no engine files"),
            (["build", "-o", "a.clipc", "--keep-precise", "image.0.fc9", "--precision", "int8"], 2, "names no linear"),
            (["build", "-o", "a.clipc", "--accuracy-gate", ""], 2, "cos:NUMBER"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "cos:0.9,"], 2, "cos:NUMBER"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "cos:0.9,,top1:0.9"], 2, "cos:NUMBER"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "cos:0.9,cos:0.8"], 2, "cos twice"),
            (["build", "-o", "a.clipc", "--accuracy-gate", "top1:0,top1:0"], 2, "top1 twice"),
            (["build", "-o", "a.clipc", "-f", "absent.txt"], 2, "inputs are for a gate"),
            (["build", "-o", "a.clipc", "--load-inputs", "absent.npz"], 2, "inputs are for a gate"),
            (["build", "-o", "a.clipc", "--seed", "2"], 2, "inputs are for a gate"),
            (["build", "-o", "a.clipc", *GATE, "-t", "a cat", "--seed", "2"], 2, "of random inputs"),
            (["build", "-o", "a.clipc", *GATE, "--load-inputs", "absent.npz", "-f", "absent.txt"], 2, "all the inputs"),
            (["build", "-o", "a.clipc", "--tensorrt-cache", "plans"], 2, "--tensorrt-cache"),
            (["build", "-o", "/dev/null", *GATE], 2, "no regular file"),
            (["build", "-o", "absent/a.clipc", *GATE, "-f", "absent.txt"], 3, "cannot create"),
            (["debug", "precision", "@cpu:int8", *GATE, "--load-inputs", "absent.npz", "-t", "a"], 2, "all the inputs"),
            (["debug"], 2, "what is to be found"), (["debug", "speed"], 2, "what is to be found"),
            (["debug", "precision", "@cpu:int8"], 2, "near enough"),
            (["debug", "precision", "@cpu:fp32", *GATE], 2, "int8 or bf16"),
            (["debug", "precision", "@cpu:int8", *GATE, "--keep-precise", "*"], 2, "what it finds"),
            (["debug", "precision", "@cpu:int8", "--accuracy-gate", "cos:1"], 1, "even with every layer in fp32"),
        ]:
            self.run_clipc(*arguments, status=status)
            self.assertIn(words, self.stderr, arguments)
        self.assert_only()


if __name__ == "__main__":
    main()
