"""clipc build --tune and --timing-cache, and what clipc inspect shows of it."""

import json
import os

from program import SOURCE, Case, main, read_npy, sample

GOLDEN = os.path.join(SOURCE, "tests/golden/models/odd_widths")
CHOICES = {"image.activation_bytes", "text.activation_bytes", "piece_bytes"}


class Tune(Case):
    def build(self, *arguments, **options):
        self.run_clipc("build", GOLDEN + "@cpu:fp32", *arguments, **options)

    def embed(self, model):
        self.run_clipc("embed", "image", sample("cat"), sample("dog"), "-o", "out.npy", "--model", model)
        return read_npy(self.path("out.npy"))

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def test_choices_are_stored_shown_and_cached(self):
        made = self.json_lines("build", GOLDEN + "@cpu:fp32", "-o", "a.clipc", "--tune", "fast", "--timing-cache",
                               "t.json", "--json")[0]
        self.assertIn("3 choices were measured", self.stderr)
        self.assertEqual(set(made["tuning"]["choices"]), CHOICES)
        self.assertTrue(made["tuning"]["made_for"].startswith("cpu, "))
        cache = self.read("t.json")
        self.assertEqual(len(cache["sets"]), 1)
        self.assertEqual(cache["sets"][0]["choices"], made["tuning"]["choices"])
        shown = self.json_lines("inspect", "a.clipc", "--json", "--verify")[0]
        self.assertEqual(shown["tuning"], made["tuning"])
        text = self.run_clipc("inspect", "a.clipc").decode()
        self.assertIn("tuned for       cpu, ", text)
        self.assertIn("piece_bytes = ", text)
        # From the cache: nothing is measured, and the file is the same.
        self.build("-o", "b.clipc", "--tune", "full", "--timing-cache", "t.json")
        self.assertIn("nothing had to be measured", self.stderr)
        with open(self.path("a.clipc"), "rb") as a, open(self.path("b.clipc"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual(self.embed("a.clipc"), self.embed("b.clipc"))

    def test_off_is_what_it_was(self):
        self.build("-o", "a.clipc", "--tune", "off")
        self.build("-o", "b.clipc")
        with open(self.path("a.clipc"), "rb") as a, open(self.path("b.clipc"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertIsNone(self.json_lines("inspect", "a.clipc", "--json")[0]["tuning"])

    def test_embeddings_keep_their_bits(self):
        self.build("-o", "plain.clipc")
        self.build("-o", "tuned.clipc", "--tune", "fast", "--timing-cache", "t.json")
        expected = self.embed("plain.clipc")
        self.assertEqual(self.embed("tuned.clipc"), expected)
        cache = self.read("t.json")
        for value in ["1048576", "900000000", "nonsense", "0"]:
            cache["sets"][0]["choices"] = {name: value for name in CHOICES}
            self.write("t.json", json.dumps(cache))
            self.build("-o", "tuned.clipc", "--tune", "fast", "--timing-cache", "t.json")
            self.assertEqual(self.embed("tuned.clipc"), expected)

    def test_interrupted_work_goes_on(self):
        self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "t.json")
        cache = self.read("t.json")
        kept = dict(cache["sets"][0]["choices"])
        del cache["sets"][0]["choices"]["piece_bytes"]
        self.write("t.json", json.dumps(cache))
        self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "t.json")
        self.assertIn("1 choices were measured", self.stderr)
        again = self.read("t.json")["sets"][0]["choices"]
        del kept["piece_bytes"], again["piece_bytes"]
        self.assertEqual(again, kept)

    def test_another_device_or_version_is_measured_anew_with_a_notice(self):
        self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "t.json")
        cache = self.read("t.json")
        cache["sets"][0]["made_for"] = "cpu, Another, c, fp32, 1 threads, clipc 0.0.1"
        self.write("t.json", json.dumps(cache))
        self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "t.json")
        self.assertIn("the timing cache is for cpu, Another", self.stderr)
        self.assertIn("3 choices were measured", self.stderr)
        self.assertEqual(len(self.read("t.json")["sets"]), 2)

    def test_an_engine_file_of_other_threads_says_so(self):
        self.build("-o", "a.clipc", "--tune", "fast", "--threads", "1")
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "a.clipc", "--threads", "1")
        self.assertNotIn("tuning", self.stderr)
        self.run_clipc("embed", "text", "a", "-o", "-", "--model", "a.clipc", "--threads", "2")
        self.assertIn("its tuning is for cpu, ", self.stderr)

    def test_broken_caches_are_refused(self):
        for text, words in [("", "t.json"), ("{}", "no timing cache of clipc"), ("[1, 2", "t.json"),
                            ('{"clipc_tuning": 9, "sets": []}', "version 9"),
                            ('{"clipc_tuning": 1, "sets": [{"made_for": "a", "model": "b", "choices": {"a": 1}}]}',
                             "no short string")]:
            self.write("t.json", text)
            self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "t.json", status=3)
            self.assertIn(words, self.stderr)
            with open(self.path("t.json"), encoding="utf-8") as file:
                self.assertEqual(file.read(), text)
        self.assert_only("t.json")

    def test_refusals(self):
        self.build("-o", "a.clipc", "--timing-cache", "t.json", status=2)
        self.build("-o", "a.clipc", "--tune", "off", "--timing-cache", "t.json", status=2)
        self.build("-o", "a.clipc", "--tune", "slow", status=2)
        self.build("-o", "a.clipc", "--tune", "fast", "--timing-cache", "a.clipc", status=2)
        self.assert_only()


if __name__ == "__main__":
    main()
