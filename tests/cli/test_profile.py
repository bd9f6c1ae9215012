"""clipc profile."""

import copy
import html.parser
import json
import time

import trace_events
from program import DEMO_MODEL, Case, main

LAYERS = {"image": 6, "text": 4}
VOID = {"meta", "br", "img"}


def expected_operations(model, tower, batch, length):
    """Of the products, as the architecture says, with fp32 and without padding."""
    shape = model[tower]
    width, layers, heads, inner = (shape[key] for key in ("width", "layers", "heads", "mlp_width"))
    rows = batch * length
    pairs = length * length if tower == "image" else length * (length + 1) // 2
    whole = 2 * rows * (4 * width * width + 2 * width * inner) + 4 * batch * pairs * width
    # Of the last layer only the pooled rows: query, weights of the keys, values, output and MLP; all rows in attention.
    last = 2 * batch * (4 * width * width + 2 * width * inner) + 4 * rows * heads * width
    patches = 2 * rows * 3 * shape["patch_size"] ** 2 * width if tower == "image" else 0
    return patches + (layers - 1) * whole + last + 2 * batch * width * model["embedding_dimension"]


class Pages(html.parser.HTMLParser):
    """Checks that tags are balanced, and keeps the text."""

    def __init__(self):
        super().__init__()
        self.open = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            assert name not in ("src", "href"), (tag, value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text += data


class Profile(Case):
    STEP = {"step", "layer", "kernel", "precision", "runs", "ms", "median_ms", "share", "operations", "bytes",
            "operations_per_s", "bytes_per_s", "peak_share", "bound", "limits", "limit_share"}
    TOWER = {"tower", "batch", "iterations", "ms", "median_ms", "items_per_s", "operations", "bytes", "steps", "steps_ms",
             "outside_ms", "outside_share", "limit_ms", "limit_share"}

    def profile(self, *arguments):
        return self.json_lines("profile", "--json", "--backend", "cpu", "--warm-up", "1", "--iterations", "4",
                               *arguments)[0]

    def check_tower(self, tower, peaks):
        self.assertEqual(set(tower), self.TOWER)
        steps = tower["steps"]
        self.assertAlmostEqual(sum(step["ms"] for step in steps), tower["steps_ms"],
                               delta=1e-7 * tower["ms"])
        self.assertAlmostEqual(sum(step["share"] for step in steps) + tower["outside_share"], 1, places=6)
        self.assertAlmostEqual(tower["steps_ms"] + tower["outside_ms"], tower["ms"], delta=1e-7 * tower["ms"])
        self.assertGreaterEqual(tower["outside_ms"], 0)
        self.assertAlmostEqual(tower["items_per_s"] * tower["ms"] / (1e3 * tower["batch"]), 1, places=6)
        for name in ("operations", "bytes"):
            self.assertAlmostEqual(sum(step[name] for step in steps) / tower[name], 1, places=6)
        self.assertAlmostEqual(sum(max(limit or 0 for limit in step["limits"].values()) for step in steps),
                               tower["limit_ms"], delta=1e-7 * tower["limit_ms"])
        for step in steps:
            self.assertEqual(set(step), self.STEP)
            self.check_step(step, peaks)

    def check_step(self, step, peaks):
        limits = {name[:-3]: value for name, value in step["limits"].items() if value}
        self.assertEqual(set(step["limits"]), {"compute_ms", "memory_ms", "launch_ms"})
        self.assertGreater(step["bytes"], 0)
        self.assertAlmostEqual(limits["memory"] / (1e3 * step["bytes"] / peaks["all_threads_bytes_per_s"]), 1, places=5)
        if step["operations"]:
            peak = peaks["fp32_operations_per_s"]
            self.assertAlmostEqual(limits["compute"] / (1e3 * step["operations"] / peak), 1, places=5)
            self.assertAlmostEqual(step["peak_share"] / (step["operations_per_s"] / peak), 1, places=5)
        if "launch" in limits:
            self.assertAlmostEqual(limits["launch"] / (1e-3 * step["runs"] * peaks["start_us"]), 1, places=5)
        self.assertEqual(step["bound"], max(limits, key=limits.get))
        self.assertAlmostEqual(step["limit_share"] * step["ms"] / max(limits.values()), 1, places=5)

    def test_sums_and_limits(self):
        model = self.json_lines("inspect", "--json")[0]
        result = self.profile("--batch", "3", "--tokens", "9", "--precision", "fp32", "--threads", "2")
        self.assertEqual([tower["tower"] for tower in result["towers"]], ["image", "text"])
        self.assertEqual((result["model"], result["backend"], result["precision"], result["threads"]),
                         ("demo", "cpu", "fp32", 2))
        self.assertTrue(result["device"] and result["version"])
        for tower in result["towers"]:
            self.check_tower(tower, result["peaks"])
            length = model["image"]["tokens"] if tower["tower"] == "image" else 9
            expected = expected_operations(model, tower["tower"], 3, length)
            self.assertEqual(tower["operations"], float(f"{expected:.9g}"))  # as many digits as are printed
            self.assertEqual((tower["batch"], tower["iterations"]), (3, 4))

    def test_layers(self):
        together = self.profile("--tower", "text", "--precision", "fp32")["towers"][0]
        tower = self.profile("--tower", "text", "--precision", "fp32", "--layers")["towers"][0]
        self.assertEqual(sum(step["runs"] for step in tower["steps"]), sum(step["runs"] for step in together["steps"]))
        self.assertEqual(tower["operations"], together["operations"])
        for layer in range(LAYERS["text"]):
            steps = [step["step"] for step in tower["steps"] if step["layer"] == layer]
            self.assertEqual(len(steps), len(set(steps)))
            self.assertLessEqual({"attention", "fc1 + activation", "fc2 + residual"}, set(steps))
        self.assertEqual({step["layer"] for step in together["steps"]}, {None})
        self.assertEqual({step["layer"] for step in tower["steps"]}, {None, *range(LAYERS["text"])})

    def test_chrome_trace(self):
        begin = time.monotonic()
        result = self.profile("--chrome-trace", "trace.json", "--batch", "2")
        wall = time.monotonic() - begin
        with open(self.path("trace.json"), encoding="utf-8") as file:
            trace = json.load(file)
        self.assertEqual(trace_events.problems(trace), [])
        events = trace["traceEvents"]
        names = [event["args"]["name"] for event in events if event["ph"] == "M"]
        self.assertEqual(len(names), 3)  # the process and two threads
        # Microseconds: the whole trace is shorter than the process ran, and its spans are what the table says.
        self.assertLess(max(event["ts"] + event.get("dur", 0) for event in events), 1e6 * wall)
        for thread, tower in enumerate(result["towers"], 1):
            spans = [event for event in events if event["ph"] == "X" and event["tid"] == thread]
            batches = [event for event in spans if event["cat"] == "batch"]
            layers = [event for event in spans if event["cat"] == "layer"]
            steps = [event for event in spans if event["cat"] == "step"]
            self.assertEqual(len(batches), 4)
            self.assertEqual(len(steps), 4 * sum(step["runs"] for step in tower["steps"]))
            self.assertEqual({layer["name"] for layer in layers},
                             {f"layers.{i}" for i in range(LAYERS[tower["tower"]])})
            self.assertAlmostEqual(trace_events.milliseconds(trace, "batch", thread) / 4 / tower["ms"], 1, places=3)
            self.assertAlmostEqual(trace_events.milliseconds(trace, "step", thread) / 4 / tower["steps_ms"], 1, places=2)
            self.assert_in_one_another(batches, layers, steps)

    def test_wrong_traces_are_noticed(self):
        """The check of the trace event format fails where it should."""
        self.profile("--chrome-trace", "trace.json", "--tower", "text", "-n", "1")
        with open(self.path("trace.json"), encoding="utf-8") as file:
            right = json.load(file)
        self.assertEqual(trace_events.problems(right), [])
        steps = [i for i, event in enumerate(right["traceEvents"]) if event.get("cat") == "step"]

        def problems(change):
            wrong = copy.deepcopy(right)
            change(wrong, wrong["traceEvents"][steps[3]])
            return " ".join(trace_events.problems(wrong))

        for key in ("name", "ph", "ts", "pid", "tid", "dur", "cat"):
            self.assertIn(key.replace("cat", "category"), problems(lambda trace, event: event.pop(key)))
        for key, value in (("ts", "1"), ("ts", -1), ("ts", float("nan")), ("dur", -1), ("dur", None), ("pid", "1"),
                           ("tid", 1.5), ("ph", "B"), ("args", [])):
            self.assertIn(key if key != "ph" else "phase", problems(lambda trace, event: event.update({key: value})))
        self.assertIn("ends after", problems(lambda trace, event: event.update(dur=1e3 * event["dur"] + 1e3)))
        self.assertIn("ends after", problems(lambda trace, event: event.update(ts=event["ts"] - event["dur"] / 2 - 1)))
        self.assertIn("thread 7 has no name", problems(lambda trace, event: event.update(tid=7)))
        self.assertIn("process 7 has no name", problems(lambda trace, event: event.update(pid=7)))
        self.assertIn("displayTimeUnit", problems(lambda trace, event: trace.update(displayTimeUnit="us")))
        self.assertIn("names nothing", problems(lambda trace, event: trace["traceEvents"][0].update(args={})))
        self.assertIn("traceEvents", problems(lambda trace, event: trace.pop("traceEvents")))
        self.assertIn("nothing but names", " ".join(trace_events.problems(
            {"displayTimeUnit": "ms", "traceEvents": right["traceEvents"][:2]})))

    def test_shapes(self):
        result = self.profile("--image-shapes", "1,3", "--text-shapes", "2", "--tokens", "9", "--precision", "fp32",
                              "--chrome-trace", "trace.json", "--html", "page.html", "--iterations", "2")
        model = self.json_lines("inspect", "--json")[0]
        self.assertEqual([(tower["tower"], tower["batch"]) for tower in result["towers"]],
                         [("image", 1), ("image", 3), ("text", 2)])
        for tower in result["towers"]:
            self.check_tower(tower, result["peaks"])
            length = model["image"]["tokens"] if tower["tower"] == "image" else 9
            self.assertEqual(tower["operations"],
                             float(f"{expected_operations(model, tower['tower'], tower['batch'], length):.9g}"))
        with open(self.path("trace.json"), encoding="utf-8") as file:
            trace = json.load(file)
        self.assertEqual(trace_events.problems(trace), [])
        for thread, tower in enumerate(result["towers"], 1):
            self.assertAlmostEqual(trace_events.milliseconds(trace, "batch", thread) / 2 / tower["ms"], 1, places=3)
        labels = [event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"]
        self.assertEqual([label.split(",")[:2] for label in labels],
                         [["image tower", " batch 1"], ["image tower", " batch 3"], ["text tower", " batch 2"]])
        with open(self.path("page.html"), encoding="utf-8") as file:
            page = file.read()
        parser = Pages()
        parser.feed(page)
        self.assertEqual(parser.open, [])
        for words in ["Batch sizes", "image tower, batch 1,", "image tower, batch 3,", "text tower, batch 2,"]:
            self.assertIn(words, parser.text)
        text = self.run_clipc("profile", "--image-shapes", "2,1", "-n", "1").decode("utf-8")
        self.assertNotIn("text tower", text)
        lines = [line.split() for line in text.splitlines()]
        head = next(i for i, line in enumerate(lines) if line[:2] == ["tower", "batch"])
        self.assertEqual([line[:2] for line in lines[head + 1:head + 3]], [["image", "2"], ["image", "1"]])
        self.assertNotIn("tower  batch", self.run_clipc("profile", "--text-shapes", "2", "-n", "1").decode("utf-8"))

    def assert_in_one_another(self, batches, layers, steps):
        end = 0
        for step in steps:
            self.assertGreaterEqual(step["ts"], end - 1e-6)  # one after the other
            end = step["ts"] + step["dur"]
            self.assert_inside(step, batches)
            if "layer" in step["args"]:
                self.assert_inside(step, [layer for layer in layers if layer["name"] == f"layers.{step['args']['layer']}"])

    def assert_inside(self, event, outer):
        self.assertTrue(any(span["ts"] <= event["ts"] + 1e-6 and
                            event["ts"] + event["dur"] <= span["ts"] + span["dur"] + 1e-6 for span in outer), event)

    def test_html(self):
        self.run_clipc("profile", "--html", "page.html", "--iterations", "2")
        self.assert_only("page.html")
        with open(self.path("page.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertNotIn("url(", page)
        parser = Pages()
        parser.feed(page)
        self.assertEqual(parser.open, [])
        for word in ["Profile of demo", "image tower, batch 1, 65 tokens", "text tower", "fc1 + activation", "attention",
                     "gemm_tile_", "outside the steps", "Peaks"]:
            self.assertIn(word, parser.text)

    def test_names_from_outside_are_escaped(self):
        model = self.path("<b>&.clipc")
        self.run_clipc("convert", DEMO_MODEL, model, "--precision", "int8")
        self.run_clipc("profile", model, "--html", "page.html", "--chrome-trace", "trace.json", "-n", "1")
        with open(self.path("page.html"), encoding="utf-8") as file:
            page = file.read()
        self.assertNotIn("<b>&.clipc", page)
        self.assertIn("&lt;b&gt;&amp;.clipc", page)
        with open(self.path("trace.json"), encoding="utf-8") as file:
            self.assertIn("<b>&.clipc", json.load(file)["traceEvents"][0]["args"]["name"])

    def test_for_people(self):
        text = self.run_clipc("profile", "--batch", "2").decode("utf-8")
        for word in ["image tower, batch 2, 65 tokens", "text tower, batch 2, 16 tokens", "attention", "gemm_tile_",
                     "GFLOP", "memory", "bound", "outside the steps", "peaks, Gop/s:", "at its limits"]:
            self.assertIn(word, text)
        text = self.run_clipc("profile", "@cpu:int8", "--tower", "image", "--layers").decode("utf-8")
        self.assertNotIn("text tower", text)
        self.assertIn("layers.5 fc1 + activation", text)
        self.assertIn("Gop", text)

    def test_models(self):
        """An operand of every kind, and shapes without weights."""
        self.run_clipc("convert", DEMO_MODEL, "demo.clipc", "--precision", "bf16")
        self.run_clipc("export-onnx", "--model", DEMO_MODEL, "--out-dir", "onnx")
        self.assertEqual(self.profile("demo.clipc")["precision"], "bf16")
        self.assertEqual(self.profile("--model", "demo.clipc", "--tower", "image")["towers"][0]["tower"], "image")
        self.assertEqual(self.profile(DEMO_MODEL + "@cpu:int8", "--tower", "text")["precision"], "int8")
        self.assertEqual(len(self.profile("onnx")["towers"]), 2)
        one = self.profile("onnx/clip_textual.onnx")
        self.assertEqual([tower["tower"] for tower in one["towers"]], ["text"])
        self.run_clipc("profile", "onnx/clip_textual.onnx", "--tower", "image", status=3)
        resnet = self.profile("--arch", "RN50", "--tower", "image", "-n", "1", "--layers")["towers"][0]
        self.assertEqual({step["layer"] for step in resnet["steps"]}, {None, *range(16)})

    def test_refusals(self):
        self.run_clipc("profile", "--backend", "ref", status=3)
        self.assertIn("cannot record", self.stderr)
        self.run_clipc("profile", "--backend", "cpu", "--no-transfers", status=3)
        self.assertIn("no transfers", self.stderr)
        for wrong in [["--model", "x", "--arch", "RN50"], ["a", "b"], ["--tower", "none"], ["-n", "0"],
                      ["--html", "f", "--chrome-trace", "f"], ["--image-shapes", "1,,2"], ["--image-shapes", "0"],
                      ["--image-shapes", "1,2", "--batch", "3"], ["--text-shapes", "1", "--tower", "text"]]:
            self.run_clipc("profile", *wrong, status=2)
        self.run_clipc("convert", DEMO_MODEL, "demo.clipc")
        self.run_clipc("profile", "demo.clipc", "--chrome-trace", "demo.clipc", status=2)
        self.assertIn("would be replaced", self.stderr)


if __name__ == "__main__":
    main()
