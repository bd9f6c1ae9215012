"""What clipc says of a GPU: profile, bench and build --tune beside a device, in the folder that scripts/gpu_bundle.sh makes.
Needs Python's standard library and trace_events.py. Speeds are not judged, only what must hold at any speed.

Usage: python3 check_reports.py [FOLDER]"""

import json
import os
import subprocess
import sys
import tempfile

import trace_events

FOLDER = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
CLIPC = os.path.join(FOLDER, "clipc")
TRANSFERRED = 3 * 128 * 128 * 4  # bytes of an image of the demo model, as floats
failures = 0


def check(good, what, shown=""):
    global failures
    print("ok   " if good else "WRONG", what, shown, flush=True)
    failures += not good


def clipc(*arguments, status=0, env=None):
    """Standard output and standard error."""
    result = subprocess.run([CLIPC, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=240,
                            env={**os.environ, **(env or {})})
    if status is not None and result.returncode != status:
        check(False, f"status {status} of {' '.join(arguments)}", f"{result.returncode}: {result.stderr.decode()}")
    return result.stdout.decode(), result.stderr.decode()


def objects(*arguments, **options):
    return [json.loads(line) for line in clipc(*arguments, **options)[0].splitlines()]


def check_peaks(peaks):
    rates = {name: peaks[f"{name}_operations_per_s"] for name in ("fp16", "bf16", "fp8", "int8")}
    shown = ", ".join(f"{name} {rate / 1e12:.1f} T/s" for name, rate in rates.items() if rate)
    check(all(rates[name] for name in ("fp16", "bf16", "int8")) and not peaks["fp32_operations_per_s"] and
          peaks["all_threads_bytes_per_s"] > 1e11 and 0 < peaks["start_us"] < 1000, "peaks are measured:",
          f"{shown}, {peaks['all_threads_bytes_per_s'] / 1e9:.0f} GB/s, {peaks['start_us']:.2f} us a start")
    check(0.9 < rates["fp16"] / rates["bf16"] < 1.1 and rates["int8"] > 1.5 * rates["fp16"],
          "the two of 16 bits are alike, bytes are faster")


def check_step(step, peaks):
    peak = peaks.get(f"{step['precision']}_operations_per_s")
    limits = step["limits"]
    largest = max(limit or 0 for limit in limits.values())
    good = step["bound"] and abs(limits[f"{step['bound']}_ms"] - largest) < 1e-9
    if step["operations"]:
        good = good and peak and abs(step["peak_share"] * peak / step["operations_per_s"] - 1) < 1e-5
        good = good and step["peak_share"] < 1.02
    return good and abs(step["limit_share"] * step["ms"] / largest - 1) < 1e-5


def check_profile(operand):
    """Several shapes of both towers, by table, JSON, trace and page."""
    files = ["--chrome-trace", "trace.json", "--html", "page.html"]
    result = objects("profile", operand, "--image-shapes", "1,8,32", "--text-shapes", "1,32", "--json", *files)[0]
    check([(tower["tower"], tower["batch"]) for tower in result["towers"]] ==
          [("image", 1), ("image", 8), ("image", 32), ("text", 1), ("text", 32)], f"profile {operand}: every shape")
    check_peaks(result["peaks"])
    steps = [step for tower in result["towers"] for step in tower["steps"]]
    wrong = [step for step in steps if not check_step(step, result["peaks"])]
    check(steps and not wrong, "each step is bound by its longest limit and below its peak", json.dumps(wrong[:2]))
    print("     bound by", ", ".join(sorted({step["bound"] or "nothing" for step in steps})))
    check(all(0 < tower["limit_share"] and tower["outside_ms"] >= 0 for tower in result["towers"]),
          "towers have limits, and steps are within their batches")
    with open("trace.json", encoding="utf-8") as file:
        trace = json.load(file)
    check(not trace_events.problems(trace), "the trace is in the trace event format",
          " ".join(trace_events.problems(trace)[:3]))
    for thread, tower in enumerate(result["towers"], 1):
        iterations = tower["iterations"]
        spans = trace_events.milliseconds(trace, "step", thread) / iterations
        check(abs(spans / tower["steps_ms"] - 1) < 0.02 and
              abs(trace_events.milliseconds(trace, "batch", thread) / iterations / tower["ms"] - 1) < 0.01,
              f"its times are the table's: {tower['tower']}, batch {tower['batch']}")
    with open("page.html", encoding="utf-8") as file:
        page = file.read()
    check("Batch sizes" in page and page.count('class="card"') == 6 and "</html>" in page, "a page with a card a shape")


def check_full_size():
    """Where a device is busy its products are within reach of the peak, so the peak is no figure of another kind."""
    line = ["profile", "--arch", "ViT-B-32", "--tower", "image", "--batch", "256", "--precision", "fp16", "--backend",
            "cuda", "-n", "5", "--json"]
    tower = objects(*line)[0]["towers"][0]
    resting = objects(*line, "--no-transfers")[0]["towers"][0]
    check(resting["outside_ms"] < 0.5 * tower["outside_ms"] and resting["operations"] == tower["operations"],
          "without transfers less lies outside the steps:",
          f"{resting['outside_ms']:.3f} and {tower['outside_ms']:.3f} ms")
    best = max(step["peak_share"] or 0 for step in tower["steps"])
    check(0.3 < best < 1, "the best product of ViT-B/32, batch 256, of the peak:", f"{100 * best:.1f} %")
    check({"compute", "memory"} & {step["bound"] for step in tower["steps"]} and tower["limit_share"] < 1,
          "its steps are bound by the device:", ", ".join(f"{step['step']}: {step['bound']}" for step in tower["steps"]))


def check_portable_peaks():
    """By the instructions of the kernels that every device runs."""
    peaks = objects("profile", "@cuda:fp16", "--tower", "image", "-n", "1", "--json",
                    env={"CLIPC_CUDA_ARCH": "sm80"})[0]["peaks"]
    fp16, fp8, int8 = (peaks[f"{name}_operations_per_s"] for name in ("fp16", "fp8", "int8"))
    check(1.5 < int8 / fp16 < 2.2 and (not fp8 or 0.3 < fp8 / fp16 < 2.2), "peaks of mma.sync:",
          f"fp16 {fp16 / 1e12:.1f}, fp8 {(fp8 or 0) / 1e12:.1f}, int8 {int8 / 1e12:.1f} T/s")


def check_parts(operand, batch):
    """Transfers, computing and enqueueing, with and without graph and transfers."""
    with_all = ["bench", operand, "--batch", str(batch), "--iterations", "50", "--json"]
    whole = objects(*with_all, "--export-output", "graph.npz")[0]
    parts = [whole[name] for name in ("host_to_device", "compute", "device_to_host", "enqueue")]
    check(all(part and part["count"] == whole["iterations"] and part["min_ms"] >= 0 for part in parts) and
          all(part["mean_ms"] > 0 for part in parts), f"bench {operand}, batch {batch}: four parts of every iteration")
    together = sum(part["median_ms"] for part in parts[:3])
    check(whole["passes"] and together < 1.25 * whole["latency"]["median_ms"] + 0.05, "the device's parts are within a call",
          f"{together:.3f} of {whole['latency']['median_ms']:.3f} ms")
    speed = batch * TRANSFERRED / whole["host_to_device"]["median_ms"] / 1e6
    check(0.5 < speed < 500, "the copies run at a bus's speed:", f"{speed:.1f} GB/s")
    check(whole["roofline_ms"] and 0 < whole["roofline_share"] <= 1, "a share of the roofline:",
          f"{100 * (whole['roofline_share'] or 0):.1f} % of {whole['compute']['mean_ms']:.3f} ms")
    launched = objects(*with_all, "--no-graph", "--export-output", "launched.npz")[0]
    check(launched["enqueue"]["median_ms"] > whole["enqueue"]["median_ms"], "without a graph the host is busier:",
          f"{launched['enqueue']['median_ms']:.4f} and {whole['enqueue']['median_ms']:.4f} ms")
    with open("graph.npz", "rb") as one, open("launched.npz", "rb") as other:
        check(one.read() == other.read(), "and the embeddings are the same bits")
    resting = objects(*with_all, "--no-transfers")[0]
    check(resting["host_to_device"]["median_ms"] < 0.5 * whole["host_to_device"]["median_ms"] and
          resting["device_to_host"]["median_ms"] <= whole["device_to_host"]["median_ms"] and
          resting["compute"]["median_ms"] > 0.5 * whole["compute"]["median_ms"], "without transfers nothing travels:",
          f"{resting['host_to_device']['median_ms']:.4f} and {whole['host_to_device']['median_ms']:.4f} ms")
    explained = clipc("bench", operand, "--batch", str(batch), "--iterations", "5", "--explain")[0]
    check("peaks: fp16 " in explained and "roofline: " in explained, "--explain has peaks and roofline")


def check_tuning(operand):
    """Tiles, passes and streams are measured, kept, shown, used, and change no bit."""
    tune = ["build", operand, "--tune", "fast", "--timing-cache", "timing.json", "--batch", "256"]
    clipc(*tune, "-o", "tuned.clipc")
    choices = objects("inspect", "tuned.clipc", "--json")[0]["tuning"]["choices"]
    print("    ", ", ".join(f"{name} = {value}" for name, value in choices.items()))
    check("streams" in choices and "image.pass.256" in choices and any(name.startswith("tile.") for name in choices),
          "streams, passes and tiles are in the engine file")
    shown = clipc("inspect", "tuned.clipc")[0]
    check("tuned for       cuda, " in shown and "image.pass.256 = " in shown, "inspect shows them")
    again = clipc(*tune, "-o", "again.clipc")[1]
    check("nothing had to be measured" in again, "the timing cache has them")
    with open("tuned.clipc", "rb") as one, open("again.clipc", "rb") as other:
        check(one.read() == other.read(), "and makes the same file")
    result = objects("bench", "tuned.clipc", "--batch", "256", "--iterations", "50", "--json", "--export-output", "t.npz")[0]
    check(str(result["streams"]) == choices["streams"] and
          result["passes"] == -(-256 // int(choices["image.pass.256"])), "bench uses and shows them:",
          f"{result['streams']} streams, {result['passes']:.0f} passes")
    plain = objects("bench", operand, "--batch", "256", "--iterations", "50", "--json", "--export-output", "p.npz")[0]
    print(f"     {plain['items_per_s']:.0f} images/s before, {result['items_per_s']:.0f} after")
    with open("t.npz", "rb") as one, open("p.npz", "rb") as other:
        check(one.read() == other.read(), "the embeddings keep their bits")


def check_families():
    """Small models of families with parts of their own, made by their libraries, against the reference in fp32."""
    for name in ("eva", "clipa"):
        model = os.path.join(FOLDER, "models", name)
        for precision, least in (("fp16", 0.9999), ("bf16", 0.999), ("int8", 0.99)):
            result = objects("compare", f"{model}@ref:fp32", f"{model}@cuda:{precision}", "--min-cosine", str(least),
                             "--json")[0]
            cosines = [tensor["least_cosine"] for tensor in result["tensors"]]
            check(result["passed"] and len(cosines) == 2, f"{name} in {precision}: cosine to fp32 at least",
                  f"{min(cosines):.7f}")
    for tower, words in (("image", "attentional pooling (CoCa)"), ("text", "a class token (CoCa)")):
        said = clipc("bench", os.path.join(FOLDER, "models", "coca") + "@cuda:fp16", "--tower", tower, "-n", "1",
                     status=3)[1]
        check(words in said, f"coca's {tower} tower is refused by name:", said.strip())


def check_commands():
    """The command lines of docs/from-trtexec-and-polygraphy.md, on the device."""
    clipc("export-onnx", "--out-dir", "onnx")
    text = ["--tower", "text", "--tokens", "77", "--batch", "4"]
    clipc("build", "onnx", "-o", "clip.clipc", "--backend", "cuda", "--precision", "fp16", "--workspace", "2048M")
    said = clipc("bench", "clip.clipc", *text, "--warm-up", "200", "--iterations", "50", "--export-output", "out.npz",
                 "--export-profile", "steps.json", "--export-layers", "layers.json", "-v")
    check("enqueue" in said[0] and "MiB of workspace" in said[1] and
          all(os.path.getsize(name) for name in ("out.npz", "steps.json", "layers.json")),
          "trtexec's line: summary, outputs, profile and layers")
    profile = objects("profile", "clip.clipc", *text, "--layers", "--json")[0]["towers"][0]
    check({step["layer"] for step in profile["steps"]} > {0, 1, 2, 3}, "profile tells layers apart")
    layers = objects("inspect", "clip.clipc", "--layers", "--tactics", "--json")[0]
    check(layers["layers"] and layers["tactics"] and layers["backend"] == "cuda", "inspect has layers and tactics")
    clipc("compare", "clip.clipc", "onnx@cpu:fp32", "--min-cosine", "0.99", "--stats")
    clipc("build", "onnx", "-o", "tuned.clipc", "--backend", "cuda", "--precision", "fp16", "--text-shapes", "1,4,16",
          "--image-shapes", "1,4,16", "--workspace", "1G", "--accuracy-gate", "cos:0.999", "--tune", "full",
          "--timing-cache", "F")
    clipc("compare", "onnx@cpu:fp32", "tuned.clipc", "--min-cosine", "0.999", "-v")
    check(os.path.getsize("F"), "polygraphy's line: gate, tuning, timing cache, comparison")
    one = objects("bench", "clip.clipc", "--batch", "8", "--iterations", "50", "--devices", "0", "--streams", "1",
                  "--json")[0]
    four = objects("bench", "clip.clipc", "--batch", "8", "--iterations", "200", "--callers", "4", "--streams", "4",
                   "--json")[0]
    check((one["devices"], one["streams"], four["callers"], four["streams"]) == (1, 1, 4, 4),
          "--devices, --streams and --callers:", f"{one['items_per_s']:.0f} and {four['items_per_s']:.0f} images/s")
    kept = objects("build", "onnx@cuda:int8", "-o", "kept.clipc", "--keep-precise", "image.0.fc2,text.0.*", "--json")[0]
    layers = objects("inspect", "kept.clipc", "--layers", "--json")[0]["layers"]
    stored = {layer["name"]: layer["stored"] for layer in layers}
    check(kept["written"] and stored["image.layers.0.fc2"] == "fp16" and stored["image.layers.1.fc2"] == "int8",
          "--keep-precise in fp16")
    clipc("bench", "kept.clipc", "--batch", "4", "--iterations", "20")
    result = clipc("inspect", "clip.clipc", "kept.clipc", status=None)[0]
    check("int8" in result and "fp16" in result, "inspect A B shows the difference")


def main():
    devices = clipc("devices")[0]
    if "cuda    none" in devices or "cuda 0" not in devices:
        print("no device: nothing was tested")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        check_profile("@cuda:fp16")
        check_full_size()
        check_portable_peaks()
        check_parts("@cuda:fp16", 32)
        check_parts("@cuda:int8", 256)
        check_tuning("@cuda:fp16")
        check_families()
        check_commands()
        os.chdir(FOLDER)
    print("FAILED" if failures else "what clipc says of the device holds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
