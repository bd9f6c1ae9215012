"""One peer in a process of its own, driven line by line by peers.py.

    peer_worker.py PEER TOWER BATCH TOKENS PRECISION MODEL_FOLDER

prepares, prints a line of JSON, and then answers every line "SECONDS" on standard input with a line of JSON holding the
items per second of a timed loop of about that length. Between the lines it sleeps. Graphs, inputs and PyTorch's fp32
results stay in the folder: with all of them there, a peer other than PyTorch starts without it.
"""

import json
import os
import sys
import time

THREADS = len(os.sched_getaffinity(0))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

import numpy as np  # noqa: E402


def load_module(tower, folder):
    """The tower in PyTorch, and the model's configuration."""
    import torch
    from transformers import CLIPModel

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)

    class ImageTower(torch.nn.Module):
        """Pixels [B,3,H,W] to rows of unit length."""

        def __init__(self, model):
            super().__init__()
            self.vision, self.projection = model.vision_model, model.visual_projection

        def forward(self, pixels):
            rows = self.projection(self.vision(pixel_values=pixels).pooler_output)
            return rows / rows.norm(dim=-1, keepdim=True)

    class TextTower(torch.nn.Module):
        """Ids [B,S] to rows of unit length."""

        def __init__(self, model):
            super().__init__()
            self.text, self.projection = model.text_model, model.text_projection

        def forward(self, ids):
            rows = self.projection(self.text(input_ids=ids).pooler_output)
            return rows / rows.norm(dim=-1, keepdim=True)

    model = CLIPModel.from_pretrained(folder).eval()
    return (ImageTower if tower == "image" else TextTower)(model).eval(), model.config


def make_inputs(tower, batch, lengths, config, seed):
    """Finite inputs that differ from call to call; texts are padded to the longest with the end token, as users do."""
    generator = np.random.default_rng(seed)
    if tower == "image":
        size = config.vision_config.image_size
        return generator.standard_normal((batch, 3, size, size), dtype=np.float32)
    text = config.text_config
    ids = np.full((batch, max(lengths)), text.eos_token_id, dtype=np.int64)
    for row in range(batch):
        length = min(lengths[row % len(lengths)], 10**6)
        ids[row, 0] = text.bos_token_id
        ids[row, 1 : length - 1] = generator.integers(1, 40000, max(length - 2, 0))
    return ids


def cosine(a, b):
    return float(np.min(np.sum(a * b, -1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))))


class Case:
    """One tower and shape of input."""

    def __init__(self, tower, batch, lengths, folder):
        self.tower, self.batch, self.lengths, self.folder = tower, batch, lengths, folder
        self.name = f"{tower}-b{batch}" + (f"-t{max(lengths)}" if tower == "text" else "")
        self.loaded = None
        path = self.path("-inputs.npz")
        if not os.path.exists(path):
            inputs = [make_inputs(tower, batch, lengths, self.config(), seed) for seed in range(3)]
            import torch

            reference = self.module()(torch.from_numpy(inputs[0])).numpy()
            with open(path + ".part", "wb") as file:
                np.savez(file, inputs=np.stack(inputs), reference=reference)
            os.rename(path + ".part", path)
        with np.load(path) as kept:
            self.inputs, self.reference = list(kept["inputs"]), kept["reference"]

    def path(self, ending):
        return os.path.join(self.folder, self.name + ending)

    def load(self):
        if not self.loaded:
            self.loaded = load_module(self.tower, self.folder)
        return self.loaded

    def module(self):
        return self.load()[0]

    def config(self):
        return self.load()[1]


def prepare_torch(case, precision):
    import torch

    module = case.module()
    if precision == "bf16":
        module = module.to(torch.bfloat16)

    def run(values):
        tensor = torch.from_numpy(values)
        if precision == "bf16" and values.dtype == np.float32:
            tensor = tensor.to(torch.bfloat16)
        return module(tensor).float().numpy()

    return run


def prepare_onnxruntime(case, precision):
    import onnxruntime

    path = case.path(".onnx")
    if not os.path.exists(path):
        import torch

        torch.onnx.export(case.module(), (torch.from_numpy(case.inputs[0]),), path + ".part", input_names=["input"],
                          output_names=["output"], opset_version=18, dynamo=True, external_data=False)
        os.rename(path + ".part", path)
    if precision == "int8":
        quantized = case.path("-int8.onnx")
        if not os.path.exists(quantized):
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(path, quantized + ".part", weight_type=QuantType.QInt8, per_channel=True)
            os.rename(quantized + ".part", quantized)
        path = quantized
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda values: session.run(None, {"input": values})[0]


def prepare_openvino(case, precision):
    import openvino

    ending = f"-{'int8' if precision == 'int8' else 'fp32'}"
    path = case.path(ending + ".xml")
    if not os.path.exists(path):
        import torch

        example = case.inputs[0]
        model = openvino.convert_model(case.module(), example_input=torch.from_numpy(example))
        model.reshape(list(example.shape))
        if precision == "int8":
            import nncf

            data = [make_inputs(case.tower, case.batch, case.lengths, case.config(), 1000 + i) for i in range(16)]
            model = nncf.quantize(model, nncf.Dataset(data), model_type=nncf.ModelType.TRANSFORMER,
                                  subset_size=len(data))
        part = case.path(ending + "-part.xml")
        openvino.save_model(model, part, compress_to_fp16=False)
        os.rename(part[:-4] + ".bin", path[:-4] + ".bin")
        os.rename(part, path)
    core = openvino.Core()
    hint = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}[precision]
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": THREADS,
                                                "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
    request = compiled.create_infer_request()

    def run(values):
        request.infer({0: values}, share_inputs=True)
        return np.array(request.get_output_tensor(0).data)

    return run


def main():
    peer, tower, batch, tokens, precision, folder = sys.argv[1:7]
    batch, lengths = int(batch), [int(n) for n in tokens.split(",")]
    case = Case(tower, batch, lengths, folder)
    prepare = {"torch": prepare_torch, "onnxruntime": prepare_onnxruntime, "openvino": prepare_openvino}[peer]
    run = prepare(case, precision)
    inputs = case.inputs
    report = {"ready": True, "cosine": cosine(run(inputs[0]), case.reference)}
    print(json.dumps(report), flush=True)
    for line in sys.stdin:
        seconds, done = float(line), 0
        run(inputs[0])
        start = time.perf_counter()
        while done < 2 or time.perf_counter() - start < seconds:
            run(inputs[done % len(inputs)])
            done += 1
        print(json.dumps({"items_per_s": done * batch / (time.perf_counter() - start)}), flush=True)


main()
