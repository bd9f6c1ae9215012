"""clipc beside OpenVINO, ONNX Runtime and PyTorch on this machine's CPU, in one run.

    python bench/peers.py --prepare
    python bench/peers.py [--clipc build/clipc] [--rows image-bf16] [--alternations 7] [--seconds 3] [--asked] [--json OUT.json]

--prepare makes what is kept in --folder (the model, the peers' graphs, their inputs and what PyTorch makes of them in
fp32) and measures nothing. What is there is not made again, so it may be cut off and go on later, and a run after it
spends its time on measuring alone; a run without it makes what it lacks. --asked leaves out the peers that no ratio is
asked of. --json is written anew after each row.

Every contestant of a row takes its turn in each alternation, so that drift of the machine meets all alike; the table
gives medians. The model is a ViT-B/32 CLIP with random weights, saved by transformers; all peers use all the process's
cores. A peer's cosine is to PyTorch fp32 on the same inputs. `make bench-peers` makes the Python environment and runs it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MIXED = ",".join(str(5 + (i * 11) % 36) for i in range(32))  # 32 captions of 5 to 40 tokens

LEAST = "items/s"  # a requirement of clipc's own speed

# name: tower, batch, clipc's precision, clipc's tokens, peers as (library, precision, tokens), required ratios
ROWS = {
    "image-fp32-b1": ("image", 1, "fp32", "0", [("openvino", "fp32", "0"), ("onnxruntime", "fp32", "0"),
                                                ("torch", "fp32", "0")], {"openvino fp32": 1.10}),
    "image-fp32-b32": ("image", 32, "fp32", "0", [("openvino", "fp32", "0"), ("onnxruntime", "fp32", "0"),
                                                  ("torch", "fp32", "0")], {"openvino fp32": 1.10}),
    "image-bf16-b1": ("image", 1, "bf16", "0", [("openvino", "bf16", "0"), ("torch", "bf16", "0")],
                      {"openvino bf16": 1.10}),
    "image-bf16-b32": ("image", 32, "bf16", "0", [("openvino", "bf16", "0"), ("torch", "bf16", "0")],
                       {"openvino bf16": 1.10}),
    "image-int8-b1": ("image", 1, "int8", "0", [("openvino", "int8", "0"), ("onnxruntime", "int8", "0")],
                      {"openvino int8": 1.20}),
    "image-int8-b32": ("image", 32, "int8", "0", [("openvino", "int8", "0"), ("onnxruntime", "int8", "0")],
                       {"openvino int8": 1.20}),
    "text-bf16-b32-12": ("text", 32, "bf16", "12", [("openvino", "bf16", "77"), ("openvino", "bf16", "12")],
                         {"openvino bf16 padded to 77": 5.0, "openvino bf16 padded to 12": 1.10}),
    "text-bf16-b32-mixed": ("text", 32, "bf16", MIXED, [("openvino", "bf16", "40")],
                            {"openvino bf16 padded to 40": 1.5}),
    "text-bf16-b1-12": ("text", 1, "bf16", "12", [("openvino", "bf16", "77")], {LEAST: 250.0}),
}

# What CLIPImageProcessor() saves, whose class asks for torchvision.
PREPROCESSING = {"image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 224},
                 "resample": 3, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_rescale": True,
                 "rescale_factor": 1 / 255, "do_normalize": True,
                 "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
                 "do_convert_rgb": True}


def make_model(folder, tokenizer):
    if os.path.exists(os.path.join(folder, "model.safetensors")):
        return
    import shutil

    import torch
    from transformers import CLIPConfig, CLIPModel

    os.makedirs(folder, exist_ok=True)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(os.path.join(tokenizer, name), folder)
    with open(os.path.join(folder, "preprocessor_config.json"), "w", encoding="utf-8") as file:
        json.dump(PREPROCESSING, file)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(projection_dim=512)).save_pretrained(folder)


def peer_name(library, tower, tokens, precision):
    return f"{library} {precision}" + (f" padded to {tokens}" if tower == "text" else "")


class Peer:
    """A peer_worker.py process; it prepares while the constructor waits."""

    def __init__(self, library, tower, batch, tokens, precision, folder):
        command = [sys.executable, os.path.join(HERE, "peer_worker.py"), library, tower, str(batch), tokens, precision,
                   folder]
        self.name = peer_name(library, tower, tokens, precision)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)
        self.note = f"cosine {self.answer()['cosine']:.5f}"

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name}: the peer's process ended")

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.answer()["items_per_s"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Clipc:
    def __init__(self, program, tower, batch, tokens, precision, folder):
        self.command = [program, "bench", "--model", folder, "--tower", tower, "--batch", str(batch), "--precision",
                        precision, "--json", "--no-roofline", "--warm-up", "500"]
        if tower == "text":
            self.command += ["--tokens", tokens]
        self.name, self.note, self.rate = f"clipc {precision}", "", None

    def measure(self, seconds):
        batch = int(self.command[self.command.index("--batch") + 1])
        iterations = 2 if self.rate is None else max(2, round(seconds * self.rate / batch))
        result = subprocess.run(self.command + ["--iterations", str(iterations)], check=True, capture_output=True)
        report = json.loads(result.stdout)
        self.rate, self.note = report["items_per_s"], f"{report['precision']}, {report['isa']}"
        return self.rate

    def close(self):
        pass


def run_row(name, arguments):
    tower, batch, precision, tokens, peers, required = ROWS[name]
    if arguments.asked:
        peers = [(library, peer_precision, length) for library, peer_precision, length in peers
                 if peer_name(library, tower, length, peer_precision) in required or LEAST in required]
    contestants = [] if arguments.prepare else [Clipc(arguments.clipc, tower, batch, tokens, precision, arguments.folder)]
    for library, peer_precision, length in peers:
        contestants.append(Peer(library, tower, batch, length, peer_precision, arguments.folder))
        if arguments.prepare:
            contestants[-1].close()
            print(f"{name}: {contestants[-1].name}: {contestants[-1].note}", flush=True)
    if arguments.prepare:
        return None
    rates = {contestant.name: [] for contestant in contestants}
    contestants[0].measure(arguments.seconds)
    for _ in range(arguments.alternations):
        for contestant in contestants:
            rates[contestant.name].append(contestant.measure(arguments.seconds))
    medians = {key: statistics.median(values) for key, values in rates.items()}
    own = medians[contestants[0].name]
    row = {"row": name, "contestants": [], "met": all(own >= ratio * medians.get(key, 1.0) for key, ratio in required.items())}
    for contestant in contestants:
        contestant.close()
        ratio, need = own / medians[contestant.name], required.get(contestant.name)
        row["contestants"].append({"name": contestant.name, "items_per_s": medians[contestant.name],
                                   "clipc_ratio": ratio, "required": need, "note": contestant.note,
                                   "all": rates[contestant.name]})
        print(f"| {name} | {contestant.name} | {medians[contestant.name]:.1f} | {batch * 1000 / medians[contestant.name]:.2f} | "
              f"{ratio:.2f} | {need or ''} | {contestant.note} |", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clipc", default="build/clipc")
    parser.add_argument("--folder", default="build-peers", help="where models and exports are kept")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--asked", action="store_true")
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    parser.add_argument("--alternations", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one turn")
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args()
    arguments.folder = os.path.abspath(arguments.folder)
    make_model(arguments.folder, os.path.join(HERE, "..", "models", "demo", "model"))
    if not arguments.prepare:
        print("| row | contestant | items/s | ms a batch | clipc is × | required | |\n|---|---|---|---|---|---|---|")
    rows = []
    for name in ROWS:
        if arguments.rows not in name:
            continue
        rows.append(run_row(name, arguments))
        if arguments.json and not arguments.prepare:
            with open(arguments.json, "w", encoding="utf-8") as file:
                json.dump(rows, file, indent=1)
                file.write("\n")
    if not arguments.prepare:
        print(f"{sum(row['met'] for row in rows)} of {len(rows)} rows reach what is asked")


main()
