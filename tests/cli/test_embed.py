"""clipc embed: rows, sidecar, outputs."""

import filecmp
import math
import os
import shlex
import shutil
import signal
import stat
import subprocess
import time
from shlex import quote

from program import CLIPC, DEMO_MODEL, JPEG, Case, environment, main, read_json, read_npy, rows_of, sample, scale_tensor

NAMES = ["cat", "dog", "car"]


class Embed(Case):
    def test_an_array_is_of_one_precision(self):
        arrays = {}
        for precision in ["fp32", "bf16", "int8"]:
            self.run_clipc("embed", "text", "a cat", "a dog", "-o", f"{precision}.npy", "--precision", precision)
            arrays[precision] = read_npy(self.path(f"{precision}.npy"))
        self.assertNotEqual(arrays["fp32"], arrays["int8"])
        for precision, array in arrays.items():  # nothing is appended to what was there
            self.run_clipc("embed", "text", "a cat", "a dog", "-o", "out.npy", "--precision", precision)
            self.assertEqual(read_npy(self.path("out.npy")), array)
            self.assertEqual(read_json(self.path("out.npy.json"))["precision"], precision)

    def test_rows_and_sidecar(self):
        self.write("bad.png", "no image")
        os.makedirs(self.path("d"))
        shutil.copy(sample("cat"), self.path("d/cat.png"))
        self.write("d/readme", "text")
        self.run_clipc("embed", "image", sample("dog"), "bad.png", "d", sample("car"), "-o", "out.npy", status=1)
        shape, _ = array = read_npy(self.path("out.npy"))
        self.assertEqual(shape[0], 3)
        for row in rows_of(array):
            self.assertAlmostEqual(math.sqrt(sum(value * value for value in row)), 1, places=5)
        sidecar = read_json(self.path("out.npy.json"))
        self.assertEqual(set(sidecar), {"clipc", "model", "alpha", "exif", "precision", "backend", "isa", "dimension",
                                        "normalized", "rows", "skipped"})
        self.assertEqual((sidecar["dimension"], sidecar["normalized"]), (shape[1], True))
        self.assertEqual(sidecar["model"], "demo")
        self.assertEqual(sidecar["precision"], self.precision())
        self.assertIn(sidecar["backend"], ["cpu", "ref"])
        self.assertEqual(sidecar["rows"], [{"row": i, "index": index, "input": name} for i, (index, name) in
                                           enumerate([(0, sample("dog")), (2, "d/cat.png"), (4, sample("car"))])])
        self.assertEqual([entry["index"] for entry in sidecar["skipped"]], [1, 3])
        self.assertEqual([entry["input"] for entry in sidecar["skipped"]], ["bad.png", "d/readme"])
        for entry in sidecar["skipped"]:
            self.assertEqual(set(entry), {"index", "input", "reason"})
            self.assertTrue(entry["reason"])
        self.assert_only("bad.png", "d", "out.npy", "out.npy.json")

    def test_rows_do_not_depend_on_neighbours(self):
        self.run_clipc("embed", "image", *map(sample, NAMES), "-o", "all.npy")
        together = rows_of(read_npy(self.path("all.npy")))
        for name, row in zip(NAMES, together):
            self.run_clipc("embed", "image", sample(name), "-o", "one.npy", "--batch", "1", "--threads", "1")
            self.assertEqual(rows_of(read_npy(self.path("one.npy"))), [row])

    def test_no_normalize(self):
        self.run_clipc("embed", "text", "a cat", "-o", "unit.npy")
        self.run_clipc("embed", "text", "a cat", "-o", "raw.npy", "--no-normalize")
        unit, raw = (rows_of(read_npy(self.path(name)))[0] for name in ["unit.npy", "raw.npy"])
        length = math.sqrt(sum(value * value for value in raw))
        self.assertNotAlmostEqual(length, 1, places=2)
        for a, b in zip(unit, raw):
            self.assertAlmostEqual(a, b / length, places=6)

    def test_everything_failed(self):
        self.write("bad.png", "no image")
        self.run_clipc("embed", "image", "bad.png", "none.png", "-o", "out.npy", status=1)
        shape, values = read_npy(self.path("out.npy"))
        self.assertEqual((shape[0], len(values)), (0, 0))
        self.assertGreater(shape[1], 0)
        sidecar = read_json(self.path("out.npy.json"))
        self.assertEqual((sidecar["rows"], len(sidecar["skipped"])), ([], 2))
        self.run_clipc("embed", "text", b"\xff\xfe", "-o", "text.npy", status=1)
        self.assertEqual(read_npy(self.path("text.npy"))[0], shape)

    def test_a_mistyped_path_costs_no_array(self):
        self.run_clipc("embed", "image", sample("cat"), "-o", "out.npy")
        good = read_npy(self.path("out.npy")), read_json(self.path("out.npy.json"))
        for command in [["embed", "image", "none.png"], ["preprocess", "none.png"], ["embed", "text", b"\xff"]]:
            self.run_clipc(*command, "-o", "out.npy", status=1)
            self.assertIn("left as it was", self.stderr)
            self.assertEqual((read_npy(self.path("out.npy")), read_json(self.path("out.npy.json"))), good)
        self.assert_only("out.npy", "out.npy.json")

    def test_a_row_that_is_not_finite_costs_that_row_alone(self):
        """The projection is scaled until some of three images overflow."""
        names = [*map(sample, NAMES)]
        weights = self.path("model", "model.safetensors")
        shutil.copytree(DEMO_MODEL, self.path("model"))
        for step in range(80):
            shutil.copy(os.path.join(DEMO_MODEL, "model.safetensors"), weights)
            scale_tensor(weights, "visual_projection.weight", 3e38 * 0.93 ** step)
            self.run_clipc("embed", "image", *names, "-o", "out.npy", "--model", "model", "--no-normalize",
                           "--precision", "fp32", status=None)
            sidecar = read_json(self.path("out.npy.json"))
            if sidecar["rows"]:
                break
        kept, lost = ([entry["input"] for entry in sidecar[key]] for key in ["rows", "skipped"])
        self.assertTrue(kept and lost)
        self.assertEqual(sorted(kept + lost), sorted(names))
        rows = rows_of(read_npy(self.path("out.npy")))
        self.assertEqual(len(rows), len(kept))
        self.assertTrue(all(math.isfinite(value) for row in rows for value in row))
        for name, line in zip(lost, self.stderr.splitlines()):
            self.assertEqual(line, f"clipc: {name}: the model's arithmetic overflows on it")

    def test_lines_of_a_file(self):
        lines = b" two  spaces \n\nA\r\nB\r\r\nlast\xc2\x85line\x0bis\x0cone"
        texts = [" two  spaces ", "", "A", "B\r", "last\x85line\x0bis\x0cone"]
        self.write("texts", b"\xef\xbb\xbf" + lines)
        self.run_clipc("embed", "text", "-f", "texts", "-o", "file.npy")
        self.assertEqual([row["input"] for row in read_json(self.path("file.npy.json"))["rows"]], texts)
        self.run_clipc("embed", "text", "-o", "words.npy", "--", *texts)
        self.run_clipc("embed", "text", "-f", "-", "-o", "stdin.npy", "--batch", "2", stdin=lines + b"\n")
        expected = read_npy(self.path("words.npy"))
        self.assertEqual(read_npy(self.path("file.npy")), expected)
        self.assertEqual(read_npy(self.path("stdin.npy")), expected)
        self.run_clipc("embed", "text", "-f", "/dev/null", "-o", "none.npy")
        self.assertEqual(read_npy(self.path("none.npy"))[0][0], 0)

    def test_invalid_utf8_is_skipped(self):
        self.write("texts", b"one\n\xff\xfe\nthree")
        self.run_clipc("embed", "text", "-f", "texts", "-o", "out.npy", status=1)
        sidecar = read_json(self.path("out.npy.json"))
        self.assertEqual([row["input"] for row in sidecar["rows"]], ["one", "three"])
        self.assertEqual(sidecar["skipped"][0]["input"], "\\xff\\xfe")
        self.assertEqual(read_npy(self.path("out.npy"))[0][0], 2)

    def test_missing_file_of_texts(self):
        self.run_clipc("embed", "text", "-f", "none", "-o", "out.npy", status=3)
        self.assertIn("none", self.stderr)
        self.assert_only()


class Outputs(Case):
    arguments = ["embed", "image", *map(sample, NAMES), "-o"]

    def expected(self):
        self.run_clipc(*self.arguments, "expected.npy")
        with open(self.path("expected.npy"), "rb") as file:
            return file.read()

    def test_standard_output_and_pipes(self):
        expected = self.expected()
        self.assertEqual(self.run_clipc(*self.arguments, "-"), expected)
        self.assertEqual(self.run_clipc(*self.arguments, "/dev/stdout"), expected)
        os.mkfifo(self.path("pipe"))
        with subprocess.Popen(["cat", self.path("pipe")], stdout=subprocess.PIPE) as reader:
            self.run_clipc(*self.arguments, "pipe")
            self.assertEqual(reader.stdout.read(), expected)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path("pipe")).st_mode))
        with open(self.path("redirected"), "wb") as file:
            self.run_clipc(*self.arguments, "-", stdout=file)
        with open(self.path("redirected"), "rb") as file:
            self.assertEqual(file.read(), expected)
        self.assert_only("expected.npy", "expected.npy.json", "pipe", "redirected")

    def test_device(self):
        self.run_clipc(*self.arguments, "/dev/null")
        self.assertFalse(os.path.exists("/dev/null.json"))

    def test_full_disk(self):
        self.run_clipc(*self.arguments, "/dev/full", status=3)
        self.assertIn("/dev/full", self.stderr)
        self.assertIn("No space left", self.stderr)
        with open("/dev/full", "wb") as full:
            self.run_clipc(*self.arguments, "-", stdout=full, status=3)
            self.run_clipc("classify", sample("cat"), "--labels", "cat,dog", "--json", stdout=full, status=3)
            self.run_clipc("tokenize", "a", stdout=full, status=3)
            self.run_clipc("--help", stdout=full, status=3)

    def test_file_size_limit(self):
        command = f"ulimit -f 1; exec {shlex.join([CLIPC, *self.arguments])} out.npy"
        result = subprocess.run(["bash", "-c", command], cwd=self.folder, stderr=subprocess.PIPE, env=environment())
        self.assertEqual(result.returncode, 3, result.stderr)
        self.assertIn(b"out.npy", result.stderr)
        self.assert_only()

    def test_closed_streams(self):
        self.write("in.txt", "a\n")
        for closing, arguments, status in [(">&-", "classify {} --labels cat,dog", 3), (">&-", "tokenize a", 3),
                                           (">&-", "embed text a -o -", 3), (">&-", "embed text a -o out.npy", 0),
                                           ("2>&-", "tokenize a", 0), ("<&-", "embed text -f - -o x.npy", 3)]:
            command = f"exec {quote(CLIPC)} {arguments.format(quote(sample('cat')))} {closing}"
            result = subprocess.run(["bash", "-c", command], cwd=self.folder, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env=environment(), timeout=60)
            self.assertEqual(result.returncode, status, (command, result.stderr))
        self.assertEqual(read_npy(self.path("out.npy"))[0][0], 1)
        self.assert_only("in.txt", "out.npy", "out.npy.json")

    def test_reader_that_goes_away(self):
        command = f"{quote(CLIPC)} classify {quote(sample('cat'))} {quote(sample('dog'))} --labels cat,dog --json | true; " \
                  "exit ${PIPESTATUS[0]}"
        for _ in range(3):
            result = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, env=environment(), timeout=60)
            self.assertIn(result.returncode, [0, 3], result.stderr)
        process = subprocess.Popen([CLIPC, "tokenize", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        process.stdout.close()
        with process:
            try:
                process.stdin.write(b"a\n" * 100000)
                process.stdin.close()
            except BrokenPipeError:
                pass
            message = process.stderr.read()
        self.assertEqual(process.returncode, 3)
        self.assertIn(b"Broken pipe", message)

    def test_unwritable(self):
        os.mkdir(self.path("folder"))
        for path in ["nowhere/out.npy", "folder", "/proc/out.npy"]:
            self.run_clipc("embed", "image", "@/dev/zero", "-o", path, status=3)  # fails before it reads for ever
            self.assertIn(path, self.stderr)
        self.assert_only("folder")

    def test_sidecar_in_the_way(self):
        os.mkdir(self.path("out.npy.json"))
        self.run_clipc(*self.arguments, "out.npy", status=3)
        self.assert_only("out.npy.json")

    def test_the_old_file_stays_until_the_new_one_is_complete(self):
        self.write("out.npy", "old")
        self.run_clipc("embed", "image", sample("cat"), "--model", "/nowhere", "-o", "out.npy", status=3)
        with open(self.path("out.npy"), "rb") as file:
            self.assertEqual(file.read(), b"old")
        self.assert_only("out.npy")

    def test_inputs_are_not_replaced(self):
        for source, name in [(sample("cat"), "cat.png"), (sample("dog"), "d/dog.png")]:
            with open(source, "rb") as file:
                self.write(name, file.read())
        self.write("texts", "a\nb\n")
        self.write("texts.npy.json", "a\nb\n")
        os.link(self.path("texts"), self.path("same"))
        shutil.copytree(DEMO_MODEL, self.path("model"))
        labels = ["--labels", "cat,dog"]
        for arguments in [["embed", "image", "cat.png", "-o", "cat.png"], ["embed", "image", "d", "-o", "d/dog.png"],
                          ["preprocess", "@texts", "-o", "./texts"], ["embed", "text", "-f", "texts", "-o", "same"],
                          ["embed", "text", "-f", "texts.npy.json", "-o", "texts.npy"],
                          ["embed", "text", "a", "--model", "model", "-o", "model/model.safetensors"],
                          ["embed", "text", "a", "--model", "model", "-o", "model/config.json"],
                          ["convert", "model", "model/model.safetensors"], ["convert", "model/model.safetensors"],
                          ["convert", "anything"],
                          ["classify", "cat.png", *labels, "--html", "cat.png"],
                          ["classify", "cat.png", "--labels-file", "texts", "--html", "texts"]]:
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_clipc(*arguments, status=2), b"")
                self.assertIn(arguments[-1], self.stderr)
        self.assert_only("cat.png", "d", "texts", "same", "texts.npy.json", "model")
        self.assertEqual(filecmp.dircmp(DEMO_MODEL, self.path("model")).diff_files, [])
        with open(self.path("texts"), "rb") as file:
            self.assertEqual(file.read(), b"a\nb\n")

    def test_regular_file_below_dev(self):
        path = f"/dev/shm/clipc-test-{os.getpid()}.npy"
        self.addCleanup(lambda: [os.remove(name) for name in [path, path + ".json"] if os.path.exists(name)])
        self.run_clipc("embed", "text", "a", "-o", path)
        self.assertEqual(len(read_json(path + ".json")["rows"]), 1)

    def test_output_among_the_inputs(self):
        with open(sample("cat"), "rb") as file:
            self.write("d/cat.png", file.read())
        self.run_clipc("embed", "image", "d", "-o", "d/out.npy")
        self.assertEqual(read_json(self.path("d/out.npy.json"))["skipped"], [])

    def test_mode_and_links_are_kept(self):
        self.write("real.npy", "old")
        os.chmod(self.path("real.npy"), 0o640)
        os.symlink("real.npy", self.path("link.npy"))
        self.run_clipc(*self.arguments, "link.npy")
        self.assertTrue(os.path.islink(self.path("link.npy")))
        self.assertEqual(stat.S_IMODE(os.stat(self.path("real.npy")).st_mode), 0o640)
        self.assertEqual(read_npy(self.path("real.npy"))[0][0], len(NAMES))
        old = os.umask(0o027)
        try:
            self.run_clipc(*self.arguments, "new.npy")
        finally:
            os.umask(old)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("new.npy")).st_mode), 0o640)


class Interrupt(Case):
    def interrupt(self, arguments, number=signal.SIGINT, feed=None):
        process = subprocess.Popen([CLIPC, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, cwd=self.folder, env=environment())
        with process:
            if feed:
                process.stdin.write(feed)
                process.stdin.flush()
            deadline = time.monotonic() + 60
            while not any(name.startswith(".out.npy.") for name in os.listdir(self.folder)):
                self.assertLess(time.monotonic(), deadline)
                self.assertIsNone(process.poll())
                time.sleep(0.01)
            time.sleep(0.1)
            process.send_signal(number)
            status = process.wait(timeout=30)
        return status

    def test_while_waiting_for_input(self):
        feed = os.fsencode(JPEG) + b"\n"
        self.assertEqual(self.interrupt(["embed", "image", "-", "-o", "out.npy"], feed=feed), 130)
        self.assert_only()
        self.assertEqual(self.interrupt(["embed", "text", "-f", "-", "-o", "out.npy"], feed=b"a\n"), 130)
        self.assert_only()

    def test_during_work(self):
        self.write("list", (JPEG + "\n") * 200000)
        self.assertEqual(self.interrupt(["embed", "image", "@list", "-o", "out.npy"]), 130)
        self.assert_only("list")

    def test_termination(self):
        self.assertEqual(self.interrupt(["embed", "text", "-f", "-", "-o", "out.npy"], number=signal.SIGTERM), 143)
        self.assertEqual(self.interrupt(["embed", "text", "-f", "-", "-o", "out.npy"], number=signal.SIGQUIT), 131)
        self.assert_only()


if __name__ == "__main__":
    main()
