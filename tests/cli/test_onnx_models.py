"""Graphs as models: what clipc export-onnx wrote gives the same embeddings again, bit for bit."""

import os
import shutil

from program import SAMPLES, SOURCE, Case, main

IMAGES = [os.path.join(SAMPLES, name) for name in ("cat.png", "fish.png")]
TEXTS = ["a photo of a cat", "two green triangles"]


class OnnxModels(Case):
    def embed(self, kind, inputs, *model):
        self.run_clipc("embed", kind, "-o", "out.npy", "--precision", "fp32", *model, *inputs)
        with open(self.path("out.npy"), "rb") as file:
            return file.read()

    def check_same(self, *model):
        self.assertEqual(self.embed("image", IMAGES, *model), self.embed("image", IMAGES))
        self.assertEqual(self.embed("text", TEXTS, *model), self.embed("text", TEXTS))

    def test_a_folder(self):
        self.run_clipc("export-onnx", "-o", "graphs", "--external-data")
        self.check_same("--model", "graphs")
        self.run_clipc("convert", "--model", "graphs", "--precision", "fp32", "back.clipc")
        self.check_same("--model", "back.clipc")
        self.run_clipc("convert", "--model", "graphs", "back/")  # matrices that the graph holds turned
        self.check_same("--model", "back")

    def test_from_an_engine_file(self):
        self.run_clipc("convert", "--precision", "fp32", "packed.clipc")
        self.run_clipc("export-onnx", "-o", "direct", "--visual-quantize", "dynamic-quint8")
        self.run_clipc("export-onnx", "-o", "graphs", "--model", "packed.clipc", "--visual-quantize", "dynamic-quint8")
        for name in ("clip_visual.onnx", "clip_textual.onnx"):
            with open(self.path("direct", name), "rb") as one, open(self.path("graphs", name), "rb") as other:
                self.assertEqual(one.read(), other.read())
        self.run_clipc("export-onnx", "-o", "graphs", "--model", "packed.clipc")
        self.check_same("--model", "graphs")
        self.run_clipc("convert", "--precision", "int8", "rounded.clipc")
        self.run_clipc("export-onnx", "-o", "graphs", "--model", "rounded.clipc", status=3)
        self.assertIn("rounded to int8", self.stderr)

    def test_a_resnet_by_way_of_an_engine_file(self):
        source = os.path.join(SOURCE, "tests/golden/models/openai_resnet")
        expected = self.embed("image", IMAGES, "--model", source)
        for environment in [{}, {"CLIPC_CPU": "c"}]:  # panels of another width
            self.run_clipc("convert", source, "resnet.clipc", "--precision", "fp32", env=environment)
            self.run_clipc("export-onnx", "-o", "resnet", "--model", "resnet.clipc", "--visual-only")
            self.assertEqual(self.embed("image", IMAGES, "--model", "resnet/clip_visual.onnx"), expected)

    def test_two_files(self):
        self.run_clipc("export-onnx", "-o", ".", "--opset", "12", "--no-fold", "--normalize")
        os.rename(self.path("clip_visual.onnx"), self.path("v.onnx"))
        os.rename(self.path("clip_textual.onnx"), self.path("t.onnx"))
        self.check_same("--visual", "v.onnx", "--textual", "t.onnx")
        self.assertEqual(self.embed("image", IMAGES, "--model", "v.onnx"), self.embed("image", IMAGES))
        self.assertEqual(self.embed("text", TEXTS, "--textual", "t.onnx"), self.embed("text", TEXTS))
        for arguments, word in [(["--visual", "t.onnx"], "image"), (["--textual", "v.onnx"], "text"),
                                (["--visual", "t.onnx", "--textual", "v.onnx"], "t.onnx: is given as the image tower"),
                                (["--visual", "absent.onnx"], "absent.onnx")]:
            self.run_clipc("inspect", *arguments, status=3)
            self.assertIn(word, self.stderr)
        for arguments in [["--visual", "v.onnx", "--tower", "text"], ["--textual", "t.onnx", "--tower", "image"]]:
            self.run_clipc("bench", *arguments, status=3)
            self.assertIn(f"no {arguments[-1]} tower", self.stderr)
        self.run_clipc("inspect", "--model", "v.onnx", "--visual", "v.onnx", status=2)
        self.assertIn("two models", self.stderr)

    def test_other_weights_go_first(self):
        self.run_clipc("export-onnx", "-o", "graphs")
        self.run_clipc("convert", "--precision", "fp32", "graphs/a.clipc")
        self.run_clipc("inspect", "--model", "graphs", "--verbose")
        self.assertIn("takes a.clipc, which goes before", self.stderr)
        os.remove(self.path("graphs/a.clipc"))
        os.remove(self.path("graphs/clip_visual.onnx"))
        self.assertIn(b"ONNX", self.run_clipc("inspect", "--model", "graphs"))
        shutil.rmtree(self.path("graphs"))


main()
