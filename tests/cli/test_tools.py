"""clipc tokenize, preprocess, inspect and bench."""

import os
import pty
import re
import select
import subprocess
import time

from program import CLIPC, JPEG, SOURCE, Case, environment, main, read_json, read_npy, sample

START, END = 49406, 49407


class Tokenize(Case):
    def test_known_ids(self):
        texts = {"a photo of a cat": [320, 1125, 539, 320, 2368], "Hello World!, how are you?":
                 [3306, 1002, 29325, 829, 631, 592, 286], "": []}
        lines = self.json_lines("tokenize", *texts)
        self.assertEqual(lines, [[START, *ids, END] for ids in texts.values()])

    def test_file(self):
        self.write("texts", b"hi\r\n\n hi \nhi\x85".replace(b"\x85", b"\xc2\x85"))
        expected = self.json_lines("tokenize", "hi", "", " hi ", "hi\x85")
        self.assertEqual(self.json_lines("tokenize", "-f", "texts"), expected)
        with open(self.path("texts"), "rb") as file:
            self.assertEqual(self.json_lines("tokenize", "-f", "-", stdin=file.read()), expected)

    def test_nul_inside_a_line(self):
        self.assertEqual(len(self.json_lines("tokenize", "-f", "-", stdin=b"a\0b\nc\n")), 2)

    def test_long_texts_are_cut_and_keep_the_end(self):
        for length in [75, 76, 200, 100000]:
            ids = self.json_lines("tokenize", "-f", "-", stdin=b"cat " * length)[0]
            self.assertEqual((len(ids), ids[0], ids[1], ids[-1]), (77, START, 2368, END))

    def test_invalid_utf8(self):
        output = self.run_clipc("tokenize", "-f", "-", stdin=b"a\n\xff\nb\n", status=1)
        self.assertEqual(len(output.splitlines()), 2)
        self.assertIn("text 2", self.stderr)


class Preprocess(Case):
    def test_shape_and_order(self):
        self.run_clipc("preprocess", sample("cat"), JPEG, sample("cat"), "-o", "out.npy")
        shape, values = read_npy(self.path("out.npy"))
        self.assertEqual(shape, (3, 3, 128, 128))
        one = len(values) // 3
        self.assertEqual(values[:one], values[2 * one:])
        self.assertNotEqual(values[:one], values[one:2 * one])
        self.assert_only("out.npy", "out.npy.json")
        sidecar = read_json(self.path("out.npy.json"))
        self.assertEqual([row["input"] for row in sidecar["rows"]], [sample("cat"), JPEG, sample("cat")])
        self.assertTrue(sidecar["preprocessing"])

    def test_failures(self):
        self.run_clipc("preprocess", "none.png", "-o", "out.npy", status=1)
        self.assertEqual(read_npy(self.path("out.npy"))[0], (0, 3, 128, 128))


class Inspect(Case):
    def test_json(self):
        model = self.json_lines("inspect", "--json")[0]
        for key in ["family", "embedding_dimension", "parameters", "weights", "precision", "image", "text", "preprocessing",
                    "files"]:
            self.assertIn(key, model)
        self.assertEqual(model["family"], "clip")
        self.assertEqual(model["embedding_dimension"], 256)
        self.assertEqual(model["parameters"], 12178817 - 1)  # the card counts the logit scale, too
        self.assertEqual(model["weights"], "fp16")
        self.assertEqual(model["precision"], self.precision())
        for precision in ["fp32", "bf16", "int8"]:
            self.assertEqual(self.json_lines("inspect", "--json", "--precision", precision)[0]["precision"], precision)
        self.assertTrue(model["files"] and model["preprocessing"])

    def test_for_people(self):
        text = self.run_clipc("inspect").decode("utf-8")
        for word in ["clip", "image tower", "text tower", "256 dimensions", "preprocessing", "model.safetensors"]:
            self.assertIn(word, text)


class Installed(Case):
    def test_a_manual_page_for_each_command(self):
        with open(os.path.join(SOURCE, "tools/CMakeLists.txt"), encoding="utf-8") as file:
            pages = re.search(r"foreach\(command ([^)]*)\)", file.read()).group(1).split()
        listed = self.run_clipc("--help").decode().split("Commands:\n")[1].split("\n\n")[0].splitlines()
        self.assertEqual(pages, [line.split()[0] for line in listed])


class Terminal(Case):
    def run_on_terminal(self, *arguments, env=None, seconds=60):
        """What a terminal on both outputs shows, and the exit status."""
        controller, terminal = pty.openpty()
        process = subprocess.Popen([CLIPC, *arguments], stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
                                   cwd=self.folder, env={**environment(), **(env or {})})
        os.close(terminal)
        shown = b""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not select.select([controller], [], [], 1)[0]:
                continue
            try:
                data = os.read(controller, 65536)
            except OSError:
                break
            if not data:
                break
            shown += data
        os.close(controller)
        return shown.decode("utf-8"), process.wait(timeout=10)

    def test_colours(self):
        arguments = ["classify", sample("cat"), "--labels", "cat,dog"]
        self.assertIn("\033[", self.run_on_terminal(*arguments)[0])
        self.assertNotIn("\033[", self.run_on_terminal(*arguments, env={"NO_COLOR": "1"})[0])

    def test_progress_of_long_work_only(self):
        self.write("short", JPEG + "\n")
        shown, status = self.run_on_terminal("embed", "image", "@short", "-o", "out.npy")
        self.assertEqual((shown, status), ("", 0))
        arguments = ["embed", "image", "@long", "-o", "out.npy", "--threads", "1", "--backend", "ref", "--batch", "8"]
        self.write("long", (JPEG + "\n") * 24)
        shown, status = self.run_on_terminal(*arguments)
        self.assertEqual(status, 0)
        self.assertRegex(shown, r"\d+/24 images  \d+\.\d/s  \d+:\d\d left")
        self.assertTrue(shown.endswith("\r\033[K"))
        shown, status = self.run_on_terminal(*arguments, "--quiet")
        self.assertEqual((shown, status), ("", 0))


if __name__ == "__main__":
    main()
