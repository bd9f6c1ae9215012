"""clipc convert, and engine files in every command."""

import json
import os
import shutil

from program import DEMO_MODEL, SOURCE, Case, main, read_npy, sample, scale_tensor

SIGLIP = os.path.join(SOURCE, "tests/golden/models/siglip")
GOLDEN = os.path.join(SOURCE, "tests/golden/models/odd_widths")


class Convert(Case):
    def embed(self, model, *arguments, **options):
        self.run_clipc("embed", "image", sample("cat"), sample("dog"), "-o", "out.npy", *model, *arguments, **options)
        return read_npy(self.path("out.npy"))

    def test_embeddings_are_those_of_the_directory(self):
        for precision in ["fp32", "bf16", "int8", "auto"]:
            self.run_clipc("convert", GOLDEN, "golden.clipc", "--precision", precision)
            for wanted in ["auto", self.json_lines("inspect", "-j", "-m", "golden.clipc")[0]["precision"]]:
                self.assertEqual(self.embed(["--model", "golden.clipc"], "--precision", wanted),
                                 self.embed(["--model", GOLDEN], "--precision", precision))
        self.assert_only("golden.clipc", "out.npy", "out.npy.json")

    def test_every_command(self):
        self.run_clipc("convert", "demo.clipc")
        for command in [["classify", sample("cat"), "--labels", "cat,dog", "--json"], ["tokenize", "a cat"],
                        ["similarity", sample("cat"), "--text", "a cat", "--json"],
                        ["preprocess", sample("cat"), "-o", "-"], ["embed", "text", "a cat", "-o", "-"]]:
            self.assertEqual(self.run_clipc(*command, "--model", "demo.clipc"), self.run_clipc(*command))
        self.run_clipc("bench", "--model", "demo.clipc", "-n", "1")
        self.assertEqual(self.run_clipc("tokenize", "a", env={"CLIPC_MODEL": "demo.clipc"}),
                         self.run_clipc("tokenize", "a"))

    def test_another_layout_is_repacked_with_a_notice(self):
        self.run_clipc("convert", GOLDEN, "c.clipc", "--precision", "fp32", env={"CLIPC_CPU": "c"})
        layout = self.json_lines("inspect", "--json", "--model", "c.clipc")[0]["layout"]
        self.assertEqual(layout, "cpu, c, panels of 16 outputs")
        expected = self.embed(["--model", GOLDEN], "--precision", "fp32")
        isa = self.json_lines("bench", "--json", "-n", "1", "--precision", "fp32")[0]["isa"]
        self.assertEqual(self.embed(["--model", "c.clipc"]), expected)
        self.assertEqual("repacked" in self.stderr, isa.startswith("avx512"))

    def test_a_tokenizer_of_pieces_becomes_files_again(self):
        for source, made, name in [("with_json", "unigram.json", "tokenizer.json"),
                                   ("with_spiece", "unigram.model", "spiece.model")]:
            shutil.copytree(SIGLIP, self.path(source), ignore=shutil.ignore_patterns("vocab.json", "merges.txt"))
            with open(self.path(source, "tokenizer_config.json"), "w", encoding="utf-8") as file:
                json.dump({"pad_token": "<pad>"}, file)
            shutil.copy(os.path.join(SOURCE, "tests/unit/pieces", made), self.path(source, name))
            self.run_clipc("convert", source, "packed.clipc", "--precision", "fp32")
            self.run_clipc("convert", "packed.clipc", "back/")
            with open(self.path(source, name), "rb") as one, open(self.path("back", name), "rb") as other:
                self.assertEqual(one.read(), other.read())
            texts = ["A photo of a cat!", "", "na\u00efve caf\u00e9"]
            for command in [["tokenize", *texts], ["embed", "text", *texts, "-o", "-", "--precision", "fp32"]]:
                expected = self.run_clipc(*command, "--model", source)
                self.assertEqual(self.run_clipc(*command, "--model", "packed.clipc"), expected)
                self.assertEqual(self.run_clipc(*command, "--model", "back"), expected)
            self.run_clipc("inspect", "--model", "packed.clipc", "--verify")
            shutil.rmtree(self.path("back"))

    def test_inspect(self):
        self.run_clipc("convert", GOLDEN, "golden.clipc", "--precision", "fp32")
        text = self.run_clipc("inspect", "--model", "golden.clipc", "--verify").decode("utf-8")
        self.assertIn("engine file, version 1, fp32 for cpu, ", text)
        model = self.json_lines("inspect", "--json", "--model", "golden.clipc")[0]
        self.assertEqual((model["format"], model["format_version"], model["precision"]), ("engine file", 1, "fp32"))
        directory = self.json_lines("inspect", "--json", "--model", GOLDEN)[0]
        self.assertEqual(directory["format"], "directory")
        for key in ["family", "image", "text", "preprocessing", "logit_scale", "default_template", "parameters"]:
            self.assertEqual(model[key], directory[key])
        self.run_clipc("inspect", "--model", GOLDEN, "--verify", status=3)

    def test_verify_names_a_damaged_tensor(self):
        self.run_clipc("convert", GOLDEN, "golden.clipc", "--precision", "fp32")
        with open(self.path("golden.clipc"), "r+b") as file:
            file.seek(64)  # the first section: the image tower's patch embedding
            first = file.read(1)
            file.seek(64)
            file.write(bytes([first[0] ^ 1]))
        self.run_clipc("tokenize", "a", "--model", "golden.clipc")
        self.run_clipc("inspect", "--verify", "--model", "golden.clipc", status=3)
        self.assertIn("'image.patch_embedding'", self.stderr)
        # What is made of it would have checksums that agree with the damage.
        for command in (["convert", "golden.clipc", "new.clipc"], ["convert", "golden.clipc", "new/"],
                        ["export-onnx", "--model", "golden.clipc", "--out-dir", "graphs"],
                        ["build", "golden.clipc", "-o", "new.clipc"]):
            self.run_clipc(*command, status=3)
            self.assertIn("'image.patch_embedding'", self.stderr)
        self.assertFalse([name for name in os.listdir(self.folder) if name.startswith("new")])

    def test_refusals(self):
        self.run_clipc("convert", GOLDEN, "golden.clipc", "--precision", "bf16")
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "golden.clipc", "--precision", "fp32", status=3)
        self.assertIn("convert the original", self.stderr)
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "golden.clipc", "--backend", "ref", status=3)
        with open(self.path("golden.clipc"), "rb") as file:
            self.write("cut.clipc", file.read()[:-1])
        self.run_clipc("inspect", "--model", "cut.clipc", status=3)
        self.assertIn("ends too early", self.stderr)
        self.write("other.clipc", b"something else")
        self.run_clipc("inspect", "--model", "other.clipc", status=3)
        self.assertIn("not an engine file", self.stderr)
        for arguments in [[], [GOLDEN, "a", "b"], [GOLDEN, "a", "--model", GOLDEN], [GOLDEN, "a", "--arch", "ViT-B-32"]]:
            self.run_clipc("convert", *arguments, status=2)

    def test_output(self):
        self.run_clipc("convert", "no/such/model", "out.clipc", status=3)
        self.run_clipc("convert", GOLDEN, "no/such/folder/out.clipc", status=3)
        self.run_clipc("convert", GOLDEN, "/dev/full", status=3)
        self.assertIn("No space", self.stderr)
        self.assert_only()
        whole = self.run_clipc("convert", GOLDEN, "-")
        self.run_clipc("convert", GOLDEN, "out.clipc")
        with open(self.path("out.clipc"), "rb") as file:
            self.assertEqual(file.read(), whole)
        self.run_clipc("convert", "out.clipc", "out.clipc")  # onto itself
        with open(self.path("out.clipc"), "rb") as file:
            self.assertEqual(file.read(), whole)

    def test_directory(self):
        self.run_clipc("convert", GOLDEN, "written/")
        self.assertIn("a directory of transformers, fp32 weights", self.stderr)
        self.assertEqual(sorted(os.listdir(self.path("written"))),
                         ["clipc.json", "config.json", "merges.txt", "model.safetensors", "preprocessor_config.json",
                          "vocab.json"])
        self.assertEqual(self.embed(["--model", "written"], "--precision", "fp32"),
                         self.embed(["--model", GOLDEN], "--precision", "fp32"))
        for name in ["vocab.json", "merges.txt"]:
            with open(self.path("written", name), "rb") as written, open(os.path.join(GOLDEN, name), "rb") as given:
                self.assertEqual(written.read(), given.read())
        before, after = [self.json_lines("inspect", "-j", "-m", model)[0] for model in (GOLDEN, "written")]
        for key in ["family", "image", "text", "preprocessing", "logit_scale", "default_template", "parameters"]:
            self.assertEqual(before[key], after[key])
        self.assertEqual(sorted(os.path.basename(file["path"]) for file in after["files"]),
                         sorted(os.listdir(self.path("written"))))

    def test_directory_of_other_dtypes(self):
        os.mkdir(self.path("half"))  # an empty one will do
        for target, precision in [("half", "fp16"), ("narrow/", "bf16"), ("half/wide/", "fp32")]:
            self.run_clipc("convert", GOLDEN, target, "--precision", precision)
            self.assertEqual(self.json_lines("inspect", "-j", "-m", target)[0]["weights"], precision)
        self.run_clipc("convert", "half", "again/")
        with open(self.path("half/model.safetensors"), "rb") as first, \
                open(self.path("again/model.safetensors"), "rb") as second:
            self.assertEqual(first.read(), second.read())

    def test_directory_of_an_engine_file(self):
        """Weights are unpacked, and the demo model's vocabulary and merges written from their packed form."""
        for isa in ["c", "avx2", "avx512"]:
            self.run_clipc("convert", f"{isa}.clipc", "--precision", "fp32", env={"CLIPC_CPU": isa})
            self.run_clipc("convert", f"{isa}.clipc", f"{isa}/")
            self.assertEqual(self.embed(["--model", isa], "--precision", "fp32"), self.embed([], "--precision", "fp32"))
            self.assertEqual(self.run_clipc("tokenize", "naïve café 123", "--model", isa),
                             self.run_clipc("tokenize", "naïve café 123"))
        for name in ["vocab.json", "merges.txt"]:
            with open(self.path("c", name), "rb") as written, open(os.path.join(DEMO_MODEL, name), "rb") as given:
                if name == "vocab.json":
                    self.assertEqual(json.load(written), json.load(given))
                else:
                    self.assertEqual(written.read(), given.read())

    def test_directory_refusals(self):
        for precision in ["int8", "fp8"]:
            self.run_clipc("convert", GOLDEN, "out/", "--precision", precision, status=3)
            self.assertIn("not " + precision, self.stderr)
        self.run_clipc("convert", GOLDEN, "out/", "--keep-precise", "*", status=2)
        self.assertIn("--keep-precise is of engine files", self.stderr)
        self.run_clipc("convert", GOLDEN, "out.clipc", "--tensorrt-cache", "plans", "--backend", "cpu", status=2)
        self.assertIn("--tensorrt-cache: only --backend tensorrt", self.stderr)
        self.run_clipc("convert", GOLDEN, "out/", "--backend", "cpu", status=2)
        self.run_clipc("convert", GOLDEN, "b.clipc", "--precision", "bf16")
        self.run_clipc("convert", "b.clipc", "out/", status=3)
        self.assertIn("rounded to bf16", self.stderr)
        shutil.copytree(GOLDEN, self.path("large"))
        scale_tensor(self.path("large/model.safetensors"), "visual_projection.weight", 1e9)
        self.assert_only("b.clipc", "large")
        self.run_clipc("convert", "large", "out/", "--precision", "fp16", status=3)
        self.assertIn("'visual_projection.weight': element", self.stderr)
        self.assert_only("b.clipc", "large")
        self.run_clipc("convert", GOLDEN, "large/", status=2)
        self.assertIn("is not empty", self.stderr)
        self.run_clipc("convert", "new/", status=2)

    def test_precisions_of_other_backends(self):
        for precision in ["fp16", "fp8"]:
            self.run_clipc("convert", GOLDEN, "out.clipc", "--precision", precision, status=3)
            self.assertIn(f"backend cpu: it has no precision {precision}", self.stderr)
        self.run_clipc("convert", GOLDEN, "out.clipc", "--backend", "ref", status=3)
        self.assertIn("there are no engine files for it", self.stderr)
        self.assert_only()

    def test_the_card_travels(self):
        os.mkdir(self.path("model"))
        for name in os.listdir(GOLDEN):
            os.symlink(os.path.join(GOLDEN, name), self.path("model", name))
        self.write("model/README.md", "# A card\n")
        self.write("model/clipc.json", '{"template": "a sketch of a {}"}')
        self.run_clipc("convert", "model", "a.clipc")
        self.run_clipc("convert", "a.clipc", "b.clipc")
        with open(self.path("b.clipc"), "rb") as file:
            self.assertIn(b"# A card\n", file.read())
        self.assertEqual(self.json_lines("inspect", "-j", "-m", "b.clipc")[0]["default_template"], "a sketch of a {}")
        self.run_clipc("convert", "model", "c/")
        with open(self.path("c/README.md")) as file:
            self.assertEqual(file.read(), "# A card\n")
        self.assertEqual(self.json_lines("inspect", "-j", "-m", "c")[0]["default_template"], "a sketch of a {}")


if __name__ == "__main__":
    main()
