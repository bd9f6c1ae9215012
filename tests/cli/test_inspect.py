"""clipc inspect of one model and of two."""

import json
import shutil

from program import DEMO_MODEL, Case, main, read_json, scale_tensor

TENSOR = "vision_model.encoder.layers.3.mlp.fc2.weight"


class Inspect(Case):
    def convert(self, name, *options):
        self.run_clipc("build", DEMO_MODEL, "-o", name, "--backend", "cpu", *options)
        return name

    def test_engine_file(self):
        self.convert("int8.clipc", "--precision", "int8", "--keep-precise", "image.3.fc2")
        text = self.run_clipc("inspect", "int8.clipc").decode("utf-8")
        version = self.run_clipc("--version").decode().split()[1]
        self.assertIn(f"written by      clipc {version}; this is clipc {version}", text)
        self.assertIn("not int8        image.layers.3.fc2, bf16", text)
        model = self.json_lines("inspect", "--json", "int8.clipc")[0]
        self.assertEqual((model["version"], model["written_by"], model["format_version"]), (version, version, 1))
        self.assertEqual(model["other_precisions"]["image.layers.3.fc2"], "bf16")
        self.assertNotIn("image.layers.2.fc2", model["other_precisions"])
        self.assertEqual(model["backend"], "cpu")
        self.assertTrue(model["device"] and model["isa"])

    def test_demo_is_a_name_of_the_embedded_model(self):
        self.assertEqual(self.run_clipc("inspect", "demo"), self.run_clipc("inspect"))
        self.write("demo", "no model")
        self.run_clipc("inspect", "demo", status=3)

    def test_an_activation_that_is_not_the_model_s(self):
        own = self.json_lines("inspect", "--json", DEMO_MODEL)[0]["image"]["activation"]
        self.run_clipc("inspect", DEMO_MODEL, "--activation", own)
        self.run_clipc("inspect", DEMO_MODEL, "--activation", "gelu" if own == "quick_gelu" else "quick_gelu", status=3)
        self.assertIn(f"computes {own}", self.stderr)

    def test_tactics(self):
        tactics = self.json_lines("inspect", "--json", "--tactics", "--batch", "2", "--backend", "cpu")[0]["tactics"]
        model = self.json_lines("inspect", "--json")[0]
        for tower in ("image", "text"):
            steps = [step for step in tactics if step["tower"] == tower]
            for layer in range(model[tower]["layers"]):
                attention = [step for step in steps if step["layer"] == layer and step["step"] == "attention"]
                self.assertEqual(len(attention), 1)
            for step in steps:
                self.assertTrue(step["kernel"] and step["runs"] >= 1 and step["bytes"] > 0)
        text = self.run_clipc("inspect", "--tactics", "@cpu:int8").decode("utf-8")
        for word in ["image tower, batch 1, 65 tokens, on cpu", "layers.5 fc1 + activation", "gemm_tile_i8__"]:
            self.assertIn(word, text)
        self.assertNotIn("kernel", self.run_clipc("inspect").decode("utf-8"))
        self.run_clipc("inspect", "--tactics", "@ref", status=3)

    def difference(self, *operands, status=1):
        return self.json_lines("inspect", "--json", *operands, status=status)[0]

    def test_the_same(self):
        self.convert("a.clipc", "--precision", "bf16")
        shutil.copy(self.path("a.clipc"), self.path("b.clipc"))
        for a, b in [("a.clipc", "b.clipc"), ("a.clipc", "a.clipc"), (DEMO_MODEL, DEMO_MODEL)]:
            result = self.difference(a, b, status=0)
            self.assertTrue(result["equal"])
            self.assertEqual((result["fields"], result["tensors"]), ([], []))
            self.assertEqual(result["common_tensors"], result["equal_tensors"])
            self.assertGreater(result["equal_tensors"], 100)
        text = self.run_clipc("inspect", "a.clipc", "b.clipc").decode("utf-8")
        self.assertIn("0 fields differ; of 173 tensors that both have, 173 equal", text)
        # Other bytes, and everything in them the same: the embedded model is the directory.
        result = self.difference("@auto", DEMO_MODEL)
        self.assertEqual([field["field"] for field in result["fields"]], ["format"])
        self.assertEqual(result["tensors"], [])

    def test_precisions(self):
        self.convert("fp32.clipc", "--precision", "fp32")
        self.convert("bf16.clipc", "--precision", "bf16")
        result = self.difference("fp32.clipc", "bf16.clipc")
        self.assertFalse(result["equal"])
        fields = {field["field"]: (field["a"], field["b"]) for field in result["fields"]}
        self.assertEqual(fields["precision"], ("fp32", "bf16"))
        self.assertEqual(fields["weights"], ("fp32", "bf16"))
        self.assertLessEqual(set(fields), {"precision", "weights", "layout", "isa"})
        tensors = {tensor["name"]: tensor for tensor in result["tensors"]}
        tensor = tensors[TENSOR]
        self.assertEqual((tensor["a"]["dtype"], tensor["b"]["dtype"]), ("fp32", "bf16"))
        self.assertEqual(tensor["a"]["shape"], [256, 1024])
        self.assertEqual(tensor["a"]["bytes"], 2 * tensor["b"]["bytes"])
        self.assertTrue(0 < tensor["largest_difference"] <= tensor["largest_value"] / 256)
        self.assertTrue(all(name.endswith("weight") for name in tensors))
        # The same file in two precisions: its values are equal.
        result = self.difference("@cpu:fp32", "@cpu:int8")
        self.assertEqual(([field["field"] for field in result["fields"] if field["field"] != "isa"], result["tensors"]),
                         (["precision"], []))

    def test_kept_layer(self):
        self.convert("a.clipc", "--precision", "int8", "--keep-precise", "image.3.fc2")
        self.convert("b.clipc", "--precision", "int8")
        result = self.difference("a.clipc", "b.clipc")
        self.assertEqual((result["fields"], [tensor["name"] for tensor in result["tensors"]]), ([], [TENSOR]))
        text = self.run_clipc("inspect", "a.clipc", "b.clipc", status=None).decode("utf-8")
        self.assertIn("bf16 256 × 1024", text)
        self.assertIn("int8 256 × 1024", text)

    def test_what_was_changed_is_found(self):
        shutil.copytree(DEMO_MODEL, self.path("changed"))
        scale_tensor(self.path("changed", "model.safetensors"), TENSOR, 1.5)
        rule = read_json(self.path("changed", "preprocessor_config.json"))
        rule["image_mean"] = [0.5, 0.5, 0.5]
        self.write("changed/preprocessor_config.json", json.dumps(rule))
        self.write("changed/clipc.json", '{"template": "a sketch of a {}"}')
        result = self.difference(DEMO_MODEL, "changed")
        self.assertEqual([field["field"] for field in result["fields"]], ["default_template", "weights", "preprocessing"])
        self.assertEqual([tensor["name"] for tensor in result["tensors"]], [TENSOR])
        tensor = result["tensors"][0]
        self.assertAlmostEqual(tensor["largest_difference"], 0.5 * tensor["largest_value"], places=6)
        self.assertEqual(result["equal_tensors"], result["common_tensors"] - 1)

    def test_other_architectures(self):
        self.run_clipc("export-onnx", "--out-dir", "onnx")
        result = self.difference(DEMO_MODEL, "onnx/clip_visual.onnx")
        only = {tensor["name"] for tensor in result["tensors"] if tensor["b"] is None}
        self.assertTrue(only and all(name.startswith("text_") for name in only))
        self.assertIn("tokenizer", [field["field"] for field in result["fields"]])
        self.assertIn(" in one alone", self.run_clipc("inspect", DEMO_MODEL, "onnx/clip_visual.onnx",
                                                      status=None).decode("utf-8"))
        # The graphs of both towers hold the same numbers, some of them turned, some folded with others.
        result = self.difference(DEMO_MODEL, "onnx")
        for tensor in result["tensors"]:
            self.assertTrue(tensor["compared"])
            self.assertLessEqual(tensor["largest_difference"], 1e-6 * (1 + tensor["largest_value"]))

    def test_refusals(self):
        for wrong in [["a", "b", "c"], ["a", "b", "--model", "c"], ["a", "b", "--layers"], ["a", "b", "--tactics"],
                      ["a", "b", "--verify"]]:
            self.run_clipc("inspect", *wrong, status=2)
        self.run_clipc("inspect", DEMO_MODEL, "none", status=3)
        self.assertIn("none", self.stderr)


if __name__ == "__main__":
    main()
