"""Options, operands, help and exit statuses."""

import subprocess

from program import Case, environment, main, sample

COMMANDS = ["classify", "embed", "similarity", "tokenize", "preprocess", "inspect", "convert", "export-onnx", "build", "compare", "debug", "bench",
            "devices"]


class Options(Case):
    def test_options_and_operands_mix(self):
        lines = [
            self.run_clipc("classify", "--json", sample("cat"), "--labels", "cat,dog", sample("dog")),
            self.run_clipc("classify", sample("cat"), sample("dog"), "--labels=cat,dog", "--json"),
            self.run_clipc("classify", "--labels=cat", "--json", sample("cat"), "--labels", "dog", "--", sample("dog")),
        ]
        self.assertEqual(len(lines[0].splitlines()), 2)
        self.assertEqual(lines[0], lines[1])
        self.assertEqual(lines[0], lines[2])

    def test_embed_takes_its_kind_among_options(self):
        self.run_clipc("embed", "-o", "a.npy", "text", "a cat")
        self.run_clipc("embed", "text", "a cat", "-ob.npy")
        with open(self.path("a.npy"), "rb") as first, open(self.path("b.npy"), "rb") as second:
            self.assertEqual(first.read(), second.read())

    def test_double_dash_ends_options(self):
        plain = self.run_clipc("tokenize", "--", "--json", "-q")
        self.assertEqual(len(plain.splitlines()), 2)

    def test_value_may_begin_with_a_dash(self):
        lines = self.json_lines("similarity", sample("cat"), "--text", "-5 degrees", "--text=--x", "--json")
        self.assertEqual(len(lines[0]["similarities"]), 2)

    def test_wrong_command_lines(self):
        image = sample("cat")
        for arguments, word in [
            ([], "Usage"),
            (["clasify"], "did you mean classify"),
            (["--labels"], "unknown option"),
            (["nonsense"], "unknown command"),
            (["classify", image, "--lables", "cat"], "did you mean --labels"),
            (["classify", image, "--labels", "cat", "-z"], "unknown option -z"),
            (["classify", image], "no labels"),
            (["classify", image, "--labels", " , ,"], "no labels"),
            (["classify", "--labels", "cat"], "no images"),
            (["classify", image, "--labels"], "needs a value"),
            (["classify", image, "--labels", "cat", "--top", "0"], "out of range"),
            (["classify", image, "--labels", "cat", "--json=yes"], "takes no value"),
            (["classify", image, "--labels", "cat", "--template", "a photo"], "{}"),
            (["classify", image, "--labels", "cat", "--template", "{}", "--template", "x"], "{}"),
            (["classify", image, "--labels", "cat", "--batch", "0"], "out of range"),
            (["classify", image, "--labels", "cat", "--batch", "-1"], "not a whole number"),
            (["classify", image, "--labels", "cat", "--batch", "1e2"], "not a whole number"),
            (["classify", image, "--labels", "cat", "--batch", ""], "not a whole number"),
            (["classify", image, "--labels", "cat", "--batch", "99999999999999999999999"], "out of range"),
            (["classify", image, "--labels", "cat", "--threads", "0"], "out of range"),
            (["classify", image, "--labels", "cat", "--max-pixels", "0"], "out of range"),
            (["classify", image, "--labels", "cat", "--backend", "gpu"], "auto|cuda|cpu|ref|tensorrt"),
            (["classify", image, "--labels", "cat", "--backend", "cpu", "--devices", "0"], "only --backend cuda"),
            (["inspect", "a", "b", "one_more"], "'one_more' is one operand too many"),
            (["classify", image, "--labels", "cat", "--streams", "17"], "out of range"),
            (["devices", "0"], "not expected"),
            (["classify", image, "--labels", "cat", "--precision", "fp64"], "auto|fp32|fp16|bf16|fp8|int8"),
            (["classify", image, "--labels", "cat", "--alpha", "black"], "white|drop"),
            (["classify", image, "--labels", b"\xff"], "UTF-8"),
            (["classify", "-", "--labels-file", "-"], "standard input"),
            (["similarity", "-", "--texts-file", "-"], "standard input"),
            (["tokenize", "-f", "-", "-f", "-"], "standard input"),
            (["embed"], "image or text"),
            (["embed", "video", "a", "-o", "a.npy"], "neither image nor text"),
            (["embed", "image", image], "no output"),
            (["embed", "image", "-o", "a.npy"], "no images"),
            (["embed", "text", "-o", "a.npy"], "no texts"),
            (["embed", "image", image, "-f", "list", "-o", "a.npy"], "@list"),
            (["similarity", image], "no texts"),
            (["similarity", "--text", "a"], "no images"),
            (["tokenize"], "no texts"),
            (["preprocess", image], "no output"),
            (["preprocess", "-o", "a.npy"], "no images"),
            (["inspect", "here", "there", "everywhere"], "too many"),
            (["bench", "--arch", "ViT-B-23"], "did you mean ViT-B-32"),
            (["bench", "--arch", "ViT-B-32", "--model", "x"], "exclude"),
            (["bench", "--tower", "text", "--tokens", "1"], "out of range"),
            (["bench", "--tower", "text", "--tokens", "78"], "out of range"),
            (["bench", "--iterations", "0"], "out of range"),
            (["help", "nonsense"], "unknown command"),
            (["help", "embed", "video"], "has no 'video'"),
            (["help", "debug", "precision", "now"], "one command"),
            (["embed", "text", "-", "-o", "a.npy"], "-f -"),
            (["tokenize", "-"], "-f -"),
        ]:
            with self.subTest(arguments=arguments):
                output = self.run_clipc(*arguments, status=2)
                self.assertEqual(output, b"")
                self.assertIn(word, self.stderr)
        self.assert_only()

    def test_help_of_each_command(self):
        self.assertIn(b"classify", self.run_clipc("--help"))
        for name in COMMANDS:
            text = self.run_clipc(name, "--help").decode()
            self.assertEqual(text, self.run_clipc("help", name).decode())
            self.assertIn("Examples:\n", text)
            self.assertIn("clipc " + name, text)
            for option in ["--quiet", "--verbose", "--version", "--help"]:
                self.assertIn(option, text)
            engines = set(COMMANDS) - {"tokenize", "preprocess", "export-onnx", "devices"}
            for options, users in [(["--model"], set(COMMANDS) - {"devices"}),
                                   (["--backend", "--precision", "--devices", "--streams", "--batch-invariant"], engines),
                                   (["--threads"], set(COMMANDS) - {"tokenize", "export-onnx", "devices"}),
                                   (["--batch"], set(COMMANDS) - {"tokenize", "devices"}),
                                   (["--max-pixels", "--alpha", "--exif"],
                                    {"bench", "build", "classify", "compare", "debug", "embed", "similarity",
                                     "preprocess"})]:
                for option in options:
                    self.assertEqual(option in text, name in users, f"{name} {option}")

    def test_help_takes_the_second_word(self):
        for name, word in [("debug", "precision"), ("embed", "image"), ("embed", "text"), ("onnx", "replace-layernorm")]:
            self.assertEqual(self.run_clipc("help", name, word), self.run_clipc("help", name))

    def test_options_without_a_meaning_are_refused(self):
        self.run_clipc("tokenize", "a", "--exif", status=2)
        self.run_clipc("tokenize", "a", "--batch", "4", status=2)
        self.run_clipc("preprocess", "a.png", "-o", "a.npy", "--precision", "fp32", status=2)
        self.run_clipc("inspect", "--alpha", "drop", status=2)

    def test_lines_of_help_fit_a_terminal(self):
        for name in COMMANDS:
            text = self.run_clipc(name, "--help").decode()
            before_examples = text.split("Examples:")[0]
            self.assertEqual([line for line in before_examples.splitlines() if len(line) > 80], [])

    def test_version(self):
        versions = {self.run_clipc("--version"), self.run_clipc("-V"), self.run_clipc("classify", "--version")}
        self.assertEqual(len(versions), 1)
        self.assertRegex(versions.pop().decode(), r"^clipc \d+\.\d+\.\d+\n$")

    def test_manual_pages_name_every_option(self):
        self.run_clipc("help", "--manual", "all")
        for name in COMMANDS:
            page = self.run_clipc("help", "--manual", name).decode()
            for option in option_names(self.run_clipc(name, "--help").decode()):
                self.assertIn(option.replace("-", "\\-"), page)

    def test_completions_name_every_option(self):
        scripts = {shell: self.run_clipc("help", "--completion", shell).decode() for shell in ["bash", "zsh", "fish"]}
        for name in COMMANDS:
            for option in option_names(self.run_clipc(name, "--help").decode()):
                self.assertIn(option, scripts["bash"])
                self.assertIn(option, scripts["zsh"])
                self.assertIn("-l " + option[2:], scripts["fish"])

    def test_bash_completes(self):
        script = self.write("completion", self.run_clipc("help", "--completion", "bash"))
        for words, expected in [("clipc cl", "classify"), ("clipc bench --tower te", "text"),
                                ("clipc classify --temp", "--template"), ("clipc embed im", "image")]:
            parts = words.split(" ")
            command = f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(parts) - 1}; _clipc; " \
                      'printf "%s\\n" "${COMPREPLY[@]}"'
            result = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, check=True, env=environment())
            self.assertEqual(result.stdout.decode().split(), [expected])


def option_names(help_text):
    lines = help_text.split("Examples:")[0].splitlines()
    return [word.rstrip(",") for line in lines if line.startswith("  ") for word in line.split()[:2]
            if word.startswith("--")]


if __name__ == "__main__":
    main()
