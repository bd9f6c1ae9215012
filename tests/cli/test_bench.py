"""clipc bench: its fields, and that its summary is what its exported times add up to. Speeds are not judged."""

import math
import os
import statistics
import time
import unittest
import zipfile

from program import SAMPLES, Case, main, parse_npy, read_json, sample


KEYS = {"tower", "batch", "tokens", "backend", "precision", "threads", "isa", "devices", "streams", "passes", "callers",
        "inputs", "warm_up_iterations", "iterations", "seconds", "items_per_s", "batches_per_s", "median_ms", "p90_ms",
        "p99_ms", "latency", "preprocessing", "host_to_device", "compute", "device_to_host", "enqueue", "model_ms", "engine_ms",
        "machine", "warnings", "roofline_ms", "roofline_share"}
SUMMARY = {"count", "min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms", "variation"}
MACHINE = {"cpu_mhz", "cpu_mhz_source", "cpu_watts", "waited_share", "gpu_mhz", "gpu_memory_mhz", "gpu_watts",
           "gpu_celsius", "gpu_slowed"}
QUICK = ["--warm-up", "1", "--iterations", "5", "--no-roofline"]


def nearest_rank(values, percent):
    """The smallest value that so many percent of them do not exceed."""
    return sorted(values)[max(1, math.ceil(percent * len(values) / 100)) - 1]


class Bench(Case):
    def bench(self, *arguments):
        start = time.monotonic()
        result = self.json_lines("bench", "--json", *QUICK, *arguments)[0]
        wall = time.monotonic() - start
        self.assertEqual(set(result), KEYS)
        self.assertEqual(set(result["machine"]), MACHINE)
        self.assertEqual(result["iterations"], 5)
        self.assertGreaterEqual(result["warm_up_iterations"], 1)
        self.assertLessEqual(result["median_ms"], result["p90_ms"])
        self.assertLessEqual(result["p90_ms"], result["p99_ms"])
        self.assertGreater(result["items_per_s"] * wall, 5 * result["batch"])
        self.assertLessEqual(result["items_per_s"], 1e3 * result["batch"] * 5 / result["p99_ms"])
        return result

    def test_towers(self):
        result = self.bench("--batch", "3", "--threads", "1")
        self.assertEqual((result["tower"], result["batch"], result["threads"]), ("image", 3, 1))
        self.assertEqual(result["tokens"], 65)
        result = self.bench("--tower", "text", "--tokens", "9")
        self.assertEqual((result["tower"], result["batch"], result["tokens"]), ("text", 1, 9))
        self.assertGreaterEqual(result["threads"], 1)
        for precision in ["fp32", "bf16", "int8"]:
            self.assertEqual(self.bench("--tower", "text", "--precision", precision)["precision"], precision)
            self.assertEqual(self.bench(f"@cpu:{precision}", "--tower", "text")["precision"], precision)

    def test_texts_of_several_lengths(self):
        result = self.bench("--tower", "text", "--tokens", "5,12,40", "--batch", "4")
        self.assertEqual((result["batch"], result["tokens"]), (4, [5, 12, 40]))
        self.assertIn(b"5,12,40 tokens", self.run_clipc("bench", "--tower", "text", "--tokens", "5,12,40", "-n", "1"))
        for wrong in ["", ",5", "5,", "5,,6", "x", "5,x", "-5", "1", "78", "5,78", "99999999999999999999"]:
            self.run_clipc("bench", "--tower", "text", "--tokens", wrong, status=2)
            self.assertIn("--tokens", self.stderr)

    def test_backend(self):
        self.assertEqual(self.bench("--backend", "ref", "--tower", "text")["backend"], "ref")

    def test_for_people(self):
        text = self.run_clipc("bench", "--iterations", "2", "--warm-up", "0").decode()
        for word in ["images/s", "batches/s", "2 iterations", "after 0 to warm up", "p95", "variation", "computing",
                     "no transfers", "roofline"]:
            self.assertIn(word, text)
        self.assertIn("only 2 iterations", self.stderr)
        self.run_clipc("bench", *QUICK, "--quiet")
        self.assertEqual(self.stderr, "")


class Loop(Case):
    def test_both_limits(self):
        result = self.json_lines("bench", "--tower", "text", "--json", "--no-roofline", "--duration", "0.3")[0]
        self.assertGreaterEqual(result["seconds"], 0.25)  # the last iteration may begin before the end
        result = self.json_lines("bench", "--tower", "text", "--json", "--no-roofline", "--duration", "0.2", "-n",
                                 "3")[0]
        self.assertGreaterEqual(result["iterations"], 3)
        result = self.json_lines("bench", "--tower", "text", "--json", "--no-roofline", "--duration", "0", "-n", "7")[0]
        self.assertEqual(result["iterations"], 7)

    def test_rests(self):
        result = self.json_lines("bench", "--tower", "text", "--json", *QUICK, "--idle-time", "50")[0]
        self.assertGreaterEqual(result["seconds"], 4 * 0.05)

    def test_callers(self):
        self.run_clipc("bench", "--tower", "text", "--json", *QUICK[:3], "40", "--callers", "3", "--export-times",
                       "times.json")
        measured = read_json(self.path("times.json"))[0]
        self.assertEqual((measured["callers"], measured["iterations"], len(measured["samples"])), (3, 40, 40))
        self.assertLessEqual({one["caller"] for one in measured["samples"]}, {0, 1, 2})
        starts = [one["start_ms"] for one in measured["samples"]]
        self.assertEqual(starts, sorted(starts))
        self.assertIn("latencies include waiting for the other callers", measured["warnings"])

    def test_more_threads_than_cores(self):
        cores = len(os.sched_getaffinity(0))
        result = self.json_lines("bench", "--tower", "text", "--json", *QUICK, "--threads", str(cores + 3))[0]
        self.assertTrue(any(f"{cores + 3} threads share" in warning for warning in result["warnings"]), result)
        result = self.json_lines("bench", "--tower", "text", "--json", *QUICK, "--threads", "1")[0]
        self.assertFalse(any("threads share" in warning for warning in result["warnings"]), result)


class Shapes(Case):
    def test_one_after_the_other(self):
        results = self.json_lines("bench", "--json", *QUICK, "--image-shapes", "1,3", "--text-shapes", "4,2")
        self.assertEqual([(result["tower"], result["batch"]) for result in results],
                         [("image", 1), ("image", 3), ("text", 4), ("text", 2)])
        results = self.json_lines("bench", "--json", *QUICK, "--text-shapes", "2", "--tokens", "7")
        self.assertEqual([(result["tower"], result["batch"], result["tokens"]) for result in results],
                         [("text", 2, 7)])

    def test_wrong_ones(self):
        for wrong in ["", "0", "4097", "1,", ",1", "1,,2", "x", "-1", "1x", ",".join(["1"] * 65)]:
            self.run_clipc("bench", "--image-shapes", wrong, status=2)
            self.assertIn("--image-shapes", self.stderr)
        self.run_clipc("bench", "--image-shapes", "1", "--batch", "2", status=2)


class Times(Case):
    """The exported times give the summary, by the rules of docs/bench.md."""

    def summary_of(self, values, percents=(90, 95, 99)):
        mean = statistics.fmean(values)
        expected = {"count": len(values), "min_ms": min(values), "max_ms": max(values), "mean_ms": mean,
                    "median_ms": statistics.median(values),
                    "variation": statistics.stdev(values) / mean if len(values) > 1 else 0}
        for percent in percents:
            expected[f"p{percent}_ms"] = nearest_rank(values, percent)
        return expected

    def assert_summary(self, found, expected):
        self.assertEqual(set(found), set(expected))
        for key, value in expected.items():
            self.assertAlmostEqual(found[key], value, delta=1e-5 * abs(value) + 1e-6, msg=key)

    def check(self, *arguments, percents=(90, 95, 99)):
        printed = self.json_lines("bench", "--json", "--export-times", "times.json", "--warm-up", "1", "--no-roofline",
                                  *arguments)
        exported = read_json(self.path("times.json"))
        self.assertEqual(len(printed), len(exported))
        for summary, measured in zip(printed, exported):
            samples = measured.pop("samples")
            self.assertEqual(measured.pop("part_samples"), [])
            self.assertEqual(measured, summary)
            self.assertEqual(len(samples), summary["iterations"])
            latency = [one["latency_ms"] for one in samples]
            self.assert_summary(summary["latency"], self.summary_of(latency, percents))
            self.assert_summary(summary["compute"], self.summary_of([one["encode_ms"] for one in samples], percents))
            self.assertAlmostEqual(summary["median_ms"], statistics.median(latency), delta=1e-5 + 1e-7 * max(latency))
            self.assertAlmostEqual(summary["p99_ms"], nearest_rank(latency, 99), delta=1e-5 + 1e-7 * max(latency))
            end = max(one["start_ms"] + one["latency_ms"] for one in samples)
            self.assertAlmostEqual(summary["seconds"], end / 1e3, places=5)
            self.assertAlmostEqual(summary["batches_per_s"], len(samples) / summary["seconds"], delta=0.01)
            self.assertAlmostEqual(summary["items_per_s"], summary["batch"] * summary["batches_per_s"], delta=0.01)
            if summary["preprocessing"]:
                self.assert_summary(summary["preprocessing"],
                                    self.summary_of([one["preprocessing_ms"] for one in samples], percents))
            for one in samples:
                self.assertAlmostEqual(one["preprocessing_ms"] + one["encode_ms"], one["latency_ms"],
                                       delta=1e-5 + 1e-7 * one["latency_ms"])
        return printed

    def test_random_inputs(self):
        for iterations in ["1", "2", "9", "100", "1000"]:
            self.check("--tower", "text", "--iterations", iterations)

    def test_percentiles(self):
        self.check("--tower", "text", "--iterations", "1000", "--percentile", "50,99.9,100", percents=(50, 99.9, 100))
        for wrong in ["", "0", "101", "x", "90,", "nan", ",".join(["9"] * 17)]:
            self.run_clipc("bench", "--percentile", wrong, status=2)
            self.assertIn("--percentile", self.stderr)

    def test_files(self):
        result = self.check("--image", SAMPLES, "--batch", "5", "--iterations", "4")[0]
        self.assertEqual((result["inputs"], result["preprocessing"]["count"]), ("files", 4))
        self.write("texts", "a cat\na dog on a hill\n")
        result = self.check("--tower", "text", "--text", "red", "-f", "texts", "--batch", "3", "--iterations", "4")[0]
        self.assertEqual((result["inputs"], len(result["tokens"])), ("files", 3))
        self.assertEqual(self.check("--tower", "text", "--iterations", "2")[0]["preprocessing"], None)
        self.check("--image-shapes", "1,2", "--text-shapes", "2", "--image", sample("cat"), "-f", "texts",
                   "--iterations", "3")

    def test_preprocessing_that_takes_longest(self):
        """The demo's text tower is slower than its tokenizer; a picture of many pixels is slower than its image
        tower."""
        import struct
        side = 3000
        pixels = bytes(3 * side * side)
        self.write("large.bmp", b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54)
                   + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, len(pixels), 0, 0, 0, 0) + pixels)
        result = self.check("--image", "large.bmp", "--iterations", "3")[0]
        if result["preprocessing"]["median_ms"] > result["compute"]["median_ms"]:
            self.assertTrue(any("bound by preprocessing" in warning for warning in result["warnings"]), result)
        else:
            self.assertFalse(any("bound by preprocessing" in warning for warning in result["warnings"]), result)

    def test_unstable_figures(self):
        """The warning and the figure agree, whatever this machine does."""
        result = self.check("--tower", "text", "--iterations", "50")[0]
        unstable = any("unstable" in warning for warning in result["warnings"])
        self.assertEqual(unstable, result["compute"]["variation"] > 0.025)


class Exports(Case):
    def arrays(self, path):
        with zipfile.ZipFile(self.path(path)) as archive:
            return {name[:-4]: parse_npy(archive.read(name)) for name in archive.namelist()}

    def test_output(self):
        """What clipc compare makes of the same inputs."""
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--count", "3", "--seed", "5", "--save-inputs",
                       "inputs.npz", "--save-outputs", "expected.npz")
        results = self.json_lines("bench", "@cpu:fp32", *QUICK, "--json", "--image-shapes", "3,2", "--text-shapes", "3",
                                  "--load-inputs", "inputs.npz", "--export-output", "output.npz")
        self.assertEqual({result["inputs"] for result in results}, {"loaded"})
        self.assertEqual(self.arrays("output.npz"), self.arrays("expected.npz"))
        self.assert_only("inputs.npz", "expected.npz", "output.npz")

    def test_output_of_files(self):
        self.run_clipc("embed", "image", sample("cat"), sample("dog"), "-o", "rows.npy", "--precision", "fp32")
        self.run_clipc("bench", "@cpu:fp32", *QUICK, "--image", sample("cat"), "-i", sample("dog"), "--batch", "2",
                       "--export-output", "output.npz")
        with open(self.path("rows.npy"), "rb") as file:
            self.assertEqual(self.arrays("output.npz"), {"image_embeddings": parse_npy(file.read())})

    def test_profile_and_layers(self):
        self.run_clipc("bench", *QUICK, "--image-shapes", "1,2", "--export-profile", "profile.json", "--export-layers",
                       "layers.json")
        first, second = read_json(self.path("profile.json"))
        self.assertEqual((first["batch"], second["batch"]), (1, 2))
        self.assertEqual(first["iterations"], 5)
        self.assertIn("attention", {step["step"] for step in second["steps"]})
        layers = self.json_lines("inspect", "--layers", "--json")[0]["layers"]
        self.assertEqual(read_json(self.path("layers.json")), layers)

    def test_nothing_is_lost(self):
        """Two outputs, or an output and an input, are never one file."""
        self.run_clipc("bench", "--export-times", "a", "--export-profile", "./a", status=2)
        self.run_clipc("compare", "@cpu:fp32", "@cpu:fp32", "--save-inputs", "inputs.npz")
        self.run_clipc("bench", "--load-inputs", "inputs.npz", "--export-output", "inputs.npz", status=2)
        self.run_clipc("bench", *QUICK, "--export-times", "nowhere/a", status=3)
        self.run_clipc("bench", "--backend", "ref", *QUICK, "--export-profile", "profile.json", status=3)
        self.assert_only("inputs.npz")


class Refusals(Case):
    def test_what_the_processor_has_not(self):
        for option in ["--no-graph", "--no-transfers"]:
            for backend in ["cpu", "ref"]:
                self.run_clipc("bench", option, "--backend", backend, status=3)
                self.assertIn(f"backend {backend}: it has no transfers or graphs", self.stderr)

    def test_inputs_that_are_not_measured(self):
        for words in [["--image", sample("cat"), "--tower", "text"], ["--text", "x"], ["-f", "x"],
                      ["--text-shapes", "1", "--image", sample("cat")],
                      ["--load-inputs", "x", "--image", sample("cat")]]:
            self.run_clipc("bench", *words, status=2)
        self.write("empty/note.txt", "no image")
        self.run_clipc("bench", "--image", "empty", status=3)
        self.assertIn("there is no image", self.stderr)
        self.write("broken.png", b"\x89PNG\r\n\x1a\n")
        self.run_clipc("bench", "--image", "broken.png", status=3)
        self.assertIn("broken.png", self.stderr)
        self.write("none", "")
        self.run_clipc("bench", "--tower", "text", "-f", "none", status=3)

    def test_times(self):
        for words in [["--duration", "-1"], ["--duration", "x"], ["--duration", "1e9"], ["--warm-up", "-1"],
                      ["--iterations", "0"], ["--callers", "0"], ["--callers", "257"], ["--idle-time", "x"]]:
            self.run_clipc("bench", *words, status=2)
            self.assertIn(words[0], self.stderr)


class Explain(Case):
    def test_steps(self):
        keys = KEYS | {"peaks", "steps", "steps_ms", "outside_ms", "precision_share", "other_precisions"}
        for options in [["--batch", "3"], ["--tower", "text", "--tokens", "5,9", "--batch", "2"],
                        ["--precision", "fp32"]]:
            result = self.json_lines("bench", "--json", "--explain", "--threads", "1", *QUICK, *options)[0]
            self.assertEqual(set(result), keys)
            steps = result["steps"]
            self.assertEqual({"attention", "fc1 + activation", "projection"} - {step["step"] for step in steps}, set())
            self.assertAlmostEqual(sum(step["ms"] for step in steps), result["steps_ms"],
                                   delta=1e-7 * result["steps_ms"])
            self.assertAlmostEqual(sum(step["share"] for step in steps),
                                   result["steps_ms"] / (result["steps_ms"] + result["outside_ms"]), places=6)
            self.assertGreaterEqual(result["outside_ms"], 0)
            self.assertGreater(result["peaks"]["fp32_operations_per_s"], 1e8)
            others = sum(other["operation_share"] for other in result["other_precisions"])
            self.assertAlmostEqual(result["precision_share"] + others, 1)
            self.assertAlmostEqual(result["roofline_share"],
                                   result["roofline_ms"] / (result["steps_ms"] + result["outside_ms"]), places=6)
        self.assertEqual(result["other_precisions"], [])  # fp32 is fp32 throughout

    def test_roofline(self):
        result = self.json_lines("bench", "--json", "--threads", "1", "-n", "5")[0]
        self.assertAlmostEqual(result["roofline_share"], result["roofline_ms"] / result["compute"]["mean_ms"], places=6)
        self.assertGreater(result["roofline_ms"], 0)

    def test_for_people(self):
        text = self.run_clipc("bench", "--explain", *QUICK).decode("utf-8")
        for word in ["attention", "gemm_tile_", "peaks:", "roofline:", "in steps"]:
            self.assertIn(word, text)
        self.run_clipc("bench", "--explain", *QUICK, "--backend", "ref", status=3)


if __name__ == "__main__":
    main()
