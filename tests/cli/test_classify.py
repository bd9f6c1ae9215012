"""clipc classify and clipc similarity."""

import math
import re
import shutil

from program import Case, DEMO_MODEL, main, read_npy, rows_of, sample

LABELS = "cat,dog,horse"


class Classify(Case):
    def test_json(self):
        lines = self.json_lines("classify", sample("cat"), sample("dog"), "--labels", LABELS, "--json")
        self.assertEqual([line["image"] for line in lines], [sample("cat"), sample("dog")])
        for line, best in zip(lines, ["cat", "dog"]):
            self.assertEqual(set(line), {"image", "precision", "results"})
            self.assertEqual(line["precision"], self.precision())
            results = line["results"]
            self.assertEqual(sorted(result["label"] for result in results), sorted(LABELS.split(",")))
            self.assertEqual([set(result) for result in results], [{"label", "score", "similarity"}] * 3)
            self.assertEqual(results[0]["label"], best)
            scores = [result["score"] for result in results]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertAlmostEqual(sum(scores), 1, places=5)

    def test_scores_are_the_softmax_of_the_similarities(self):
        scale = self.json_lines("inspect", "--json")[0]["logit_scale"]
        results = self.json_lines("classify", sample("cat"), "--labels", LABELS, "--json")[0]["results"]
        weights = [math.exp(scale * (result["similarity"] - results[0]["similarity"])) for result in results]
        for result, weight in zip(results, weights):
            self.assertAlmostEqual(result["score"], weight / sum(weights), places=5)

    def test_labels_are_trimmed_and_repeat(self):
        results = self.json_lines("classify", sample("cat"), "--labels", " cat ,\tdog,", "--labels", "yellow star",
                                  "--json")[0]["results"]
        self.assertEqual({result["label"] for result in results}, {"cat", "dog", "yellow star"})

    def test_labels_file(self):
        self.write("labels", "  cat \r\n\n a cat, sitting\nörtchen")
        results = self.json_lines("classify", sample("cat"), "--labels-file", "labels", "--json")[0]["results"]
        self.assertEqual({result["label"] for result in results}, {"cat", "a cat, sitting", "örtchen"})
        self.run_clipc("classify", sample("cat"), "--labels-file", "none", status=3)
        self.assertIn("none", self.stderr)
        self.write("labels", "\n \n")
        self.run_clipc("classify", sample("cat"), "--labels-file", "labels", status=2)

    def test_labels_file_of_other_systems(self):
        self.write("labels", b"\xef\xbb\xbfcat\r\ndog, sleeping\r\n")
        results = self.json_lines("classify", sample("cat"), "--labels-file", "labels", "--json")[0]["results"]
        self.assertEqual({result["label"] for result in results}, {"cat", "dog, sleeping"})
        self.write("labels", b"dog\ncat\0tle\n")
        self.run_clipc("classify", sample("cat"), "--labels-file", "labels", status=2)
        self.assertIn("labels: line 2", self.stderr)

    def test_top(self):
        for top, count in [("1", 1), ("2", 2), ("99", 3)]:
            line = self.json_lines("classify", sample("cat"), "--labels", LABELS, "--json", "--top", top)[0]
            self.assertEqual(len(line["results"]), count)

    def test_scores_do_not_depend_on_batch_and_threads(self):
        images = [sample(name) for name in ["cat", "dog", "car", "fish", "tree"]]
        expected = self.run_clipc("classify", *images, "--labels", LABELS, "--json")
        for options in [["--batch", "1"], ["--batch", "2", "--threads", "1"], ["--threads", "3"]]:
            self.assertEqual(self.run_clipc("classify", *images, "--labels", LABELS, "--json", *options), expected)

    def test_templates(self):
        image = sample("cat")

        def similarity(*options):
            results = self.json_lines("classify", image, "--labels", LABELS, "--json", *options)[0]["results"]
            return {result["label"]: result["similarity"] for result in results}

        self.assertEqual(similarity(), similarity("--template", "a photo of a {}"))
        self.assertNotEqual(similarity(), similarity("--template", "{}"))
        templates = ["a photo of a {}", "{} and {}"]
        prompts = [template.replace("{}", "cat") for template in templates]
        self.run_clipc("embed", "text", *prompts, "-o", "texts.npy")
        self.run_clipc("embed", "image", image, "-o", "image.npy")
        texts = rows_of(read_npy(self.path("texts.npy")))
        mean = [sum(column) / len(column) for column in zip(*texts)]
        length = math.sqrt(sum(value * value for value in mean))
        picture = rows_of(read_npy(self.path("image.npy")))[0]
        expected = sum(a * b for a, b in zip(mean, picture)) / length
        averaged = similarity("--template", templates[0], "--template", templates[1])
        self.assertAlmostEqual(averaged["cat"], expected, places=5)

    def test_many_labels_with_a_small_batch(self):
        labels = ",".join(f"label {i}" for i in range(70))
        expected = self.run_clipc("classify", sample("cat"), "--labels", labels, "--json")
        self.assertEqual(self.run_clipc("classify", sample("cat"), "--labels", labels, "--json", "--batch", "3"),
                         expected)

    def test_for_people(self):
        text = self.run_clipc("classify", sample("cat"), "--labels", "cat,dog,猫").decode("utf-8")
        lines = text.splitlines()
        self.assertEqual(lines[0], sample("cat"))
        self.assertEqual(len(lines), 4)
        for line in lines[1:]:
            self.assertRegex(line, r"^  (cat|dog|猫) +[█▏▎▍▌▋▊▉]* +\d+\.\d %  +-?\d\.\d{4}$")
        self.assertNotIn("\033", text)
        ascii_text = self.run_clipc("classify", sample("cat"), "--labels", "cat,dog",
                                    env={"LC_ALL": "de_DE.ISO-8859-1"}).decode("ascii")
        self.assertIn("#", ascii_text)

    def test_control_characters_do_not_reach_the_terminal(self):
        text = self.run_clipc("classify", sample("cat"), "--labels", "cat\033[31m,dog")
        self.assertNotIn(b"\033", text)

    def test_verbose_names_the_template(self):
        self.run_clipc("classify", sample("cat"), "--labels", LABELS, "--verbose")
        self.assertIn("a photo of a {}", self.stderr)

    def test_nothing_on_standard_error_when_all_is_well(self):
        self.run_clipc("classify", sample("cat"), "--labels", LABELS)
        self.assertEqual(self.stderr, "")

    def test_model_from_the_environment(self):
        demo = self.run_clipc("classify", sample("cat"), "--labels", LABELS, "--json")
        for arguments, env in [(["--model", DEMO_MODEL], {}), ([], {"CLIPC_MODEL": DEMO_MODEL}), ([], {"CLIPC_MODEL": ""}),
                               (["--model", DEMO_MODEL], {"CLIPC_MODEL": "/nowhere"})]:
            self.assertEqual(self.run_clipc("classify", sample("cat"), "--labels", LABELS, "--json", *arguments, env=env),
                             demo)
        self.run_clipc("classify", sample("cat"), "--labels", LABELS, env={"CLIPC_MODEL": "/nowhere"}, status=3)
        self.assertIn("/nowhere", self.stderr)


class Sheet(Case):
    def test_self_contained(self):
        name = "<i>&\".png"
        shutil.copy(sample("cat"), self.path(name))
        self.write("bad.png", "no")
        self.run_clipc("classify", name, sample("dog"), "bad.png", "--labels", "cat,<dog>", "--html", "out.html",
                       status=1)
        with open(self.path("out.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertEqual(page.count("data:image/jpeg;base64,/9j/"), 2)
        self.assertEqual(len(re.findall(r"<article", page)), 3)
        self.assertEqual(re.findall(r"(?:src|href)=\"(?!data:)", page), [])
        self.assertNotIn("<script", page)
        self.assertNotIn("http", page)
        self.assertIn("&lt;i&gt;&amp;&quot;.png", page)
        self.assertIn("&lt;dog&gt;", page)
        self.assertNotIn("<dog>", page)
        self.assertIn("bad.png", page)
        self.assertTrue(page.rstrip().endswith("</html>"))
        self.assertIn(f"</code> in {self.precision()}, 2 labels", page)
        self.assert_only(name, "bad.png", "out.html")

    def test_results_do_not_change(self):
        arguments = ["classify", sample("cat"), "--labels", LABELS, "--json"]
        self.assertEqual(self.run_clipc(*arguments), self.run_clipc(*arguments, "--html", "out.html"))

    def test_unwritable(self):
        self.run_clipc("classify", sample("cat"), "--labels", LABELS, "--html", "nowhere/out.html", status=3)
        self.assertIn("nowhere/out.html", self.stderr)
        self.run_clipc("classify", sample("cat"), "--labels", LABELS, "--html", "/dev/full", status=3)


class Similarity(Case):
    def test_matrix_of_cosines(self):
        images = [sample("cat"), sample("dog")]
        texts = ["a cat", "", "two words"]
        self.write("texts", "a cat\n\ntwo words\n")
        lines = self.json_lines("similarity", *images, "--text", texts[0], "--text=", "--text", texts[2], "--json")
        self.assertEqual(lines, self.json_lines("similarity", *images, "--texts-file", "texts", "--json"))
        self.run_clipc("embed", "image", *images, "-o", "images.npy")
        self.run_clipc("embed", "text", *texts, "-o", "texts.npy")
        text_rows = rows_of(read_npy(self.path("texts.npy")))
        for line, image, row in zip(lines, images, rows_of(read_npy(self.path("images.npy")))):
            self.assertEqual(set(line), {"image", "precision", "similarities"})
            self.assertEqual(line["precision"], self.precision())
            self.assertEqual(line["image"], image)
            for value, text in zip(line["similarities"], text_rows):
                self.assertAlmostEqual(value, sum(a * b for a, b in zip(row, text)), places=5)

    def test_table(self):
        lines = self.run_clipc("similarity", sample("cat"), "none.png", "--text", "a cat", "--text", "x" * 60,
                               status=1).decode("utf-8").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn("a cat", lines[0])
        self.assertIn("…", lines[0])
        self.assertTrue(lines[1].endswith(sample("cat")))

    def test_invalid_text(self):
        self.run_clipc("similarity", sample("cat"), "--text", b"\xff", status=2)


if __name__ == "__main__":
    main()
