"""Which images a command reads: files, directories, lists, standard input."""

import json
import os
import shutil
import subprocess

from program import CLIPC, Case, environment, main, sample

LABELS = ["--labels", "cat,dog", "--json"]


class Inputs(Case):
    def images(self, *operands, **options):
        return [line["image"] for line in self.json_lines("classify", *operands, *LABELS, **options)]

    def copy(self, *names):
        for name in names:
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            shutil.copy(sample("cat"), self.path(name))

    def test_directories_are_walked_in_byte_order(self):
        names = ["d/b.png", "d/a/z.png", "d/a.png", "d/a/y/x.png", "d/Z.png", "d/é.png", "d/a-b.png"]
        self.copy(*names)
        self.assertEqual(self.images("d"), sorted(names, key=os.fsencode))
        self.assertEqual(self.images("d/"), sorted(names, key=os.fsencode))

    def test_order_holds_over_many_batches(self):
        names = [f"d/{i:03}.png" for i in range(150)]
        self.copy(*names)
        self.write("d/075.txt", "no image")
        self.write("d/080.png", "no image")
        names.remove("d/080.png")
        for batch in ["1", "7", "32"]:
            self.assertEqual(self.images("d", "--batch", batch, "--threads", "3"), names)

    def test_what_is_no_image_is_skipped_and_changes_nothing(self):
        self.copy("d/cat.dat")
        self.write("d/notes.txt", "hello")
        self.write("d/empty.png", "")
        os.mkfifo(self.path("d/pipe"))
        self.assertEqual(self.images("d"), ["d/cat.dat"])
        self.assertIn("3 entries were found in directories and skipped", self.stderr)
        self.assertEqual(self.images("d", "--verbose"), ["d/cat.dat"])
        for name in ["d/notes.txt", "d/empty.png", "d/pipe"]:
            self.assertIn("skipped " + name, self.stderr)
        self.images("d", "--quiet")
        self.assertEqual(self.stderr, "")

    def test_a_broken_image_in_a_directory_fails(self):
        self.copy("d/good.png")
        with open(sample("dog"), "rb") as file:
            self.write("d/bad.png", file.read()[:500])
        self.assertEqual(self.images("d", status=1), ["d/good.png"])
        self.assertIn("d/bad.png", self.stderr)

    def test_empty_directory(self):
        os.mkdir(self.path("d"))
        self.assertEqual(self.images("d"), [])
        self.assertIn("no input", self.stderr)

    def test_links_in_a_circle(self):
        self.copy("d/a/cat.png")
        os.symlink("..", self.path("d/a/up"))
        os.symlink("a", self.path("d/again"))
        os.symlink("nowhere", self.path("d/dangling.png"))
        self.assertEqual(self.images("d", "-v", status=1), ["d/a/cat.png"])
        self.assertIn("read already", self.stderr)
        self.assertIn("dangling.png", self.stderr)

    def test_the_same_operand_twice(self):
        self.copy("d/cat.png")
        self.assertEqual(self.images("d", "d", "d/cat.png"), ["d/cat.png"] * 3)

    def test_missing_files_fail_and_the_rest_is_done(self):
        self.copy("cat.png")
        self.assertEqual(self.images("none.png", "cat.png", "nowhere/x.png", "@nolist", status=1), ["cat.png"])
        for name in ["none.png", "nowhere/x.png", "nolist"]:
            self.assertIn(name, self.stderr)

    def test_list(self):
        self.copy("a.png", " b .png", "@c.png", "d/e.png")
        self.write("list", "\ufeffa.png\r\n\n b .png\n@c.png\nd\nnone.png\na.png")
        expected = ["a.png", " b .png", "@c.png", "a.png"]
        self.assertEqual(self.images("@list", status=1), expected)
        self.assertIn("none.png", self.stderr)
        with open(self.path("list"), "rb") as file:
            self.assertEqual(self.images("-", stdin=file.read(), status=1), expected)
        self.assertEqual(self.images("./@c.png"), ["./@c.png"])

    def test_list_with_nul_is_reported(self):
        self.copy("a.png")
        self.assertEqual(self.images("-", stdin=b"a.png\0x\na.png\n", status=1), ["a.png"])

    def test_lines_without_an_end(self):
        """A limit, not all memory; and what could not be read is never taken for the end of a list."""
        self.assertEqual(self.images("@/dev/zero", status=1), [])
        self.assertIn("longer than 16 MiB", self.stderr)
        for command in (["tokenize", "-f"], ["embed", "text", "-o", "o.npy", "-f"]):
            self.run_clipc(*command, "/dev/zero", status=3)
            self.assertIn("longer than 16 MiB", self.stderr)
        limit = 20 << 20
        self.assertEqual(self.run_clipc("tokenize", "-f", "-", stdin=b"a " * (limit // 4)).count(b"\n"), 1)

    def test_list_that_is_a_directory(self):
        os.mkdir(self.path("d"))
        self.assertEqual(self.images("@d", status=1), [])

    def test_names_of_any_bytes(self):
        name = b"\xff\n\"<cat>\xc3\xa4.png"
        shutil.copy(os.fsencode(sample("cat")), os.path.join(os.fsencode(self.folder), name))
        output = self.run_clipc("classify", name, *LABELS)
        self.assertEqual(json.loads(output)["image"], "\\xff\n\"<cat>ä.png")
        text = self.run_clipc("classify", name, "--labels", "cat,dog").decode("utf-8")
        self.assertTrue(text.startswith("\\xff\\x0a\"<cat>ä.png\n"))
        self.run_clipc("embed", "image", name, name + b"x", "-o", "o.npy", status=1)
        self.assertIn("\\xff\\x0a", self.stderr)

    def test_results_come_while_standard_input_is_open(self):
        with subprocess.Popen([CLIPC, "classify", "-", *LABELS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=environment()) as process:
            for name in ["cat", "dog"]:
                process.stdin.write(os.fsencode(sample(name)) + b"\n")
                process.stdin.flush()
                self.assertEqual(json.loads(process.stdout.readline())["image"], sample(name))
            process.stdin.close()
            self.assertEqual(process.stdout.read(), b"")
            self.assertEqual(process.wait(timeout=60), 0)


if __name__ == "__main__":
    main()
