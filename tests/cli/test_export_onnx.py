"""clipc export-onnx: files, options of one tower, and what is refused."""

import math
import os
import shutil

from program import DEMO_MODEL, Case, main, scale_tensor

FILES = ["clip_textual.onnx", "clip_visual.onnx"]


class ExportOnnx(Case):
    def export(self, *arguments, **options):
        self.run_clipc("export-onnx", "--out-dir", "out", *arguments, **options)

    def listed(self):
        return sorted(os.listdir(self.path("out")))

    def content(self, name):
        with open(self.path("out", name), "rb") as file:
            return file.read()

    def test_both_towers_into_a_new_folder(self):
        self.run_clipc("export-onnx", "-o", "a/b/c")
        self.assertEqual(sorted(os.listdir(self.path("a/b/c"))), FILES)

    def test_one_tower(self):
        self.export("--visual-only")
        self.assertEqual(self.listed(), FILES[1:])
        self.export("--textual-only")
        self.assertEqual(self.listed(), FILES)

    def test_options_of_one_tower(self):
        self.export("--opset", "14", "--textual-opset", "18", "--visual-input-name", "some_pixels",
                    "--textual-output-name", "some_embedding")
        visual, textual = self.content(FILES[1]), self.content(FILES[0])
        self.assertIn(b"some_pixels", visual)
        self.assertNotIn(b"some_pixels", textual)
        self.assertIn(b"some_embedding", textual)
        self.assertNotIn(b"LayerNormalization", visual)
        self.assertIn(b"LayerNormalization", textual)

    def test_external_data(self):
        self.export("--visual-external-data")
        self.assertEqual(self.listed(), [*FILES, "clip_visual.onnx.data"])
        self.assertLess(len(self.content(FILES[1])), 1 << 17)
        self.assertGreater(len(self.content("clip_visual.onnx.data")), 1 << 24)

    def test_fp16_is_half_as_long(self):
        self.export()
        whole = len(self.content(FILES[1]))
        self.export("--dtype", "fp16")
        self.assertLess(len(self.content(FILES[1])), 0.51 * whole)

    def test_usage(self):
        for arguments, word in [
            (["--dynamic-axes", "input:1=C,output:0=B"], "colours"),
            (["--dynamic-axes", "input:2=H,output:0=B"], "position embedding"),
            (["--textual-dynamic-axes", "input:1=T,output:0=B"], "context length"),
            (["--dynamic-axes", "input:0=B,output:1=D"], "dimension"),
            (["--dynamic-axes", "input:0=B"], "both vary"),
            (["--dynamic-axes", "batch:0"], "is not"),
            (["--batch", "3", "--dynamic-axes", "batch"], "--batch"),
            (["--opset", "11"], "out of range"),
            (["--visual-only", "--textual-only"], "nothing"),
            (["--visual-only", "--textual-opset", "14"], "leaves out the tower"),
            (["--visual-only", "--textual-normalize"], "leaves out the tower"),
            (["--textual-only", "--visual-external-data"], "leaves out the tower"),
            (["model"], "not expected"),
        ]:
            with self.subTest(arguments=arguments):
                self.export(*arguments, status=2)
                self.assertIn(word, self.stderr)
        self.run_clipc("export-onnx", status=2)
        self.assertIn("--out-dir", self.stderr)

    def test_failures_to_write(self):
        self.write("file", "text")
        self.run_clipc("export-onnx", "-o", "file", status=3)
        self.run_clipc("export-onnx", "-o", "file/below", status=3)
        os.makedirs(self.path("out/clip_visual.onnx"))
        self.export(status=3)
        self.assertEqual(os.listdir(self.path("out")), ["clip_visual.onnx"])

    def test_both_graphs_or_none(self):
        """The text tower is refused after the image tower's graph was written."""
        self.export()
        before = [self.content(name) for name in FILES]
        self.export("--textual-input-name", "output", "--visual-opset", "14", status=3)
        self.assertEqual([self.content(name) for name in FILES], before)
        self.assertEqual(sorted(os.listdir(self.path("out"))), sorted(FILES))

    def test_no_empty_folder_is_left(self):
        """Neither one that was made, nor those above it; what was there stays."""
        shutil.copytree(DEMO_MODEL, self.path("model"))
        scale_tensor(self.path("model", "model.safetensors"), "visual_projection.weight", math.nan)
        os.mkdir(self.path("there"))
        for folder in ("new", "new/and/deep", "there", "there/new"):
            self.run_clipc("export-onnx", "--model", "model", "--out-dir", folder, status=3)
            self.assertIn("holds NaN", self.stderr)
            self.assert_only("model", "there")
            self.assertEqual(os.listdir(self.path("there")), [])

    def test_engine_file(self):
        """Of fp32 it still has the weights that it was made of; of any other precision it has not."""
        self.export()
        graphs = [self.content(name) for name in FILES]
        self.run_clipc("convert", "fp32.clipc", "--precision", "fp32")
        self.export("--model", "fp32.clipc")
        self.assertEqual([self.content(name) for name in FILES], graphs)
        self.run_clipc("convert", "int8.clipc", "--precision", "int8")
        self.export("--model", "int8.clipc", status=3)
        self.assertIn("rounded", self.stderr)

    def test_the_model_is_not_replaced(self):
        self.export("--external-data")
        before = {name: self.content(name) for name in self.listed()}
        self.assertEqual(len(before), 4)
        for arguments in (["--model", "out"], ["--model", "out", "--dtype", "fp16", "--external-data"],
                          ["--visual", "out/clip_visual.onnx"], ["--textual", "out/clip_textual.onnx"]):
            self.export(*arguments, status=2)
            self.assertIn("is a file of the model and would be replaced by the output", self.stderr)
            self.assertEqual({name: self.content(name) for name in self.listed()}, before)
        os.rename(self.path("out/clip_visual.onnx"), self.path("out/v.onnx"))
        self.export("--visual", "out/v.onnx", "--external-data", status=2)
        self.assertIn("clip_visual.onnx.data: is a file of the model", self.stderr)
        self.run_clipc("export-onnx", "-o", "other", "--visual", "out/v.onnx")

    def test_model_directory_as_target(self):
        shutil.copytree(DEMO_MODEL, self.path("out"))
        self.export("--model", "out")
        self.assertTrue(set(FILES) < set(self.listed()))


if __name__ == "__main__":
    main()
