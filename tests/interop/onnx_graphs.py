"""Random models as ONNX graphs, written by the exporters that people use.

torch.onnx, traced (dynamo=False) and by torch.export (dynamo=True), of OpenAI's, open_clip's and transformers' towers,
and onnxruntime.quantization's dynamic QUInt8 of those graphs. The graphs have no metadata, so pixels are OpenAI's at the
graph's size, and what is compared with is the library's module in fp32 on the weights as they are stored. For integers
that is the graph before quantisation, with the weights that the integers stand for, in ONNX Runtime.
"""
import contextlib
import dataclasses
import json
import logging

import clip
import clip.model
import numpy
import onnx
import onnx.numpy_helper
import onnxruntime
import onnxruntime.quantization
import open_clip
import torch
import transformers
from PIL import Image

import families
from sources import (OPEN_CLIP, RESNET, RN_SMALL, SMALL, Case, Source, feature, openai_model, randomize,
                     transformers_config, unit)

logging.getLogger("onnxscript").setLevel(logging.ERROR)
logging.getLogger().setLevel(logging.ERROR)
FILES = ["clip_visual.onnx", "clip_textual.onnx"]


# ---- modules that are exported ----

class Calls(torch.nn.Module):
    """A method of a model as a module."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, x):
        return self.call(self.model, x)


class Textual(torch.nn.Module):
    """As CLIP-ONNX's TextTransformer: the parts of OpenAI's model one after the other."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, text):
        x = self.model.token_embedding(text) + self.model.positional_embedding
        x = self.model.transformer(x.permute(1, 0, 2)).permute(1, 0, 2)
        x = self.model.ln_final(x)
        end = text.to(dtype=torch.int32).argmax(dim=-1)
        return x[torch.arange(x.shape[0]), end] @ self.model.text_projection


def openai_modules(shape=SMALL):
    model = openai_model(shape, 11, False)
    return model.visual, Textual(model), shape["image_resolution"]


def open_clip_modules(custom=False, changes=None):
    config = json.loads(json.dumps(OPEN_CLIP))
    for section, keys in (changes or {}).items():
        config[section].update(keys)
    model = randomize((open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config), 12)
    return (Calls(model, lambda m, x: m.encode_image(x)), Calls(model, lambda m, x: m.encode_text(x)),
            config["vision_cfg"]["image_size"])


def named_modules(named, changes):
    """Of a config of open_clip's, made small; a text tower whose tokenizer is not CLIP's is left out."""
    config = families.merged(open_clip.get_model_config(named), changes)
    keywords = {key: value for key, value in config.items() if key != "custom_text"}
    kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CLIP
    model = randomize(kind(**keywords), 14)
    textual = Calls(model, lambda m, x: m.encode_text(x)) if "hf_tokenizer_name" not in config["text_cfg"] else None
    return Calls(model, lambda m, x: m.encode_image(x)), textual, config["vision_cfg"]["image_size"]


def coca():
    return named_modules("coca_ViT-B-32", families.coca(families.towers(64, 16, 96, 32)))


def clipa():
    return named_modules("ViT-L-14-CLIPA", families.towers(56, 14, 128, 64))


def average():
    return named_modules("ViT-B-32", families.towers(64, 16, 96, 32, pool_type="avg"))


def not_causal(pool):
    changes = families.merged(families.towers(64, 16, 96, 32), {"text_cfg": {"no_causal_mask": True, "pool_type": pool}})
    return lambda: named_modules("ViT-B-32", changes)


def openai_resnet():
    return openai_modules(RN_SMALL)


def open_clip_resnet():
    return open_clip_modules(changes=RESNET)


def transformers_modules(attention, activation="quick_gelu"):
    vision, text = transformers_config(activation)
    config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=40)
    model = randomize(transformers.CLIPModel._from_config(config, attn_implementation=attention), 13)
    return (Calls(model, lambda m, x: feature(m.get_image_features(pixel_values=x))),
            Calls(model, lambda m, x: feature(m.get_text_features(input_ids=x))), vision["image_size"])


# ---- export ----

@dataclasses.dataclass
class How:
    opset: int = 17
    fold: bool = True
    dynamo: bool = False
    batch: bool = True  # of any size
    half: bool = False
    external: bool = False
    quantize: str = ""  # "tensor" or "channel"
    axes: dict = dataclasses.field(default_factory=dict)  # more of the input that may vary


@contextlib.contextmanager
def attention_of_torch_1(active):
    """Before PyTorch 2 attention was split by chunk and computed by two products, which opset 12 can say."""
    if not active:
        yield
        return
    packed, forward = torch.nn.functional._in_projection_packed, torch.nn.MultiheadAttention.forward

    def weights_too(self, *arguments, **keywords):
        return forward(self, *arguments, **dict(keywords, need_weights=True))

    torch.nn.functional._in_projection_packed = (
        lambda q, k, v, w, b=None: [part.contiguous() for part in torch.nn.functional.linear(q, w, b).chunk(3, dim=-1)])
    torch.nn.MultiheadAttention.forward = weights_too
    try:
        yield
    finally:
        torch.nn.functional._in_projection_packed, torch.nn.MultiheadAttention.forward = packed, forward


def export(module, sample, path, how):
    keywords = dict(input_names=["input"], output_names=["output"], opset_version=how.opset, dynamo=how.dynamo)
    if how.dynamo:
        keywords.update(verbose=False, external_data=how.external)
        if how.batch:
            keywords["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    else:
        keywords["do_constant_folding"] = how.fold
        if how.batch:
            keywords["dynamic_axes"] = {"input": dict({0: "batch_size"}, **how.axes), "output": {0: "batch_size"}}
    with attention_of_torch_1(how.opset < 14), contextlib.redirect_stdout(None):
        torch.onnx.export(module, (sample,), str(path), **keywords)
    if how.external and not how.dynamo:
        onnx.save_model(onnx.load(path), path, save_as_external_data=True, location=path.name + ".data",
                        size_threshold=256)


def halved(module):
    """OpenAI's LayerNorm computes in fp32 and keeps its weights so."""
    module = module.half()
    for part in module.modules():
        if isinstance(part, clip.model.LayerNorm):
            part.float()
    return module


def stored_values(graph, name):
    for array in graph.initializer:
        if array.name == name:
            return onnx.numpy_helper.to_array(array)
    return None


def dequantized(plain, quantized):
    """The graph before quantisation, with the numbers that the integers stand for."""
    model, graph = onnx.load(plain), onnx.load(quantized).graph
    found = 0
    for array in model.graph.initializer:
        for turned, name in ((False, array.name), (True, array.name + "_Transposed")):
            integers = stored_values(graph, name + "_quantized")
            if integers is None:
                continue
            values = (integers.astype(numpy.float32) - stored_values(graph, name + "_zero_point").astype(numpy.float32))
            values = values * stored_values(graph, name + "_scale")
            array.CopyFrom(onnx.numpy_helper.from_array(values.T.copy() if turned else values, array.name))
            found += 1
    assert found == sum(array.name.endswith("_quantized") for array in graph.initializer)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"input": batch.numpy()})[0])


def quantize(path, how):
    plain = path.with_name("plain_" + path.name)
    path.rename(plain)
    onnxruntime.quantization.quantize_dynamic(str(plain), str(path), per_channel=how.quantize == "channel",
                                              weight_type=onnxruntime.quantization.QuantType.QUInt8)
    return dequantized(plain, path)


def graphs(make_modules, how):
    def make(folder):
        visual, textual, size = make_modules()
        items = 2 if how.batch else 1
        context = getattr(getattr(textual, "model", None), "context_length", 77)
        ids = torch.zeros(items, context, dtype=torch.int64)
        ids[:, 3] = 49407
        runners = []
        for module, sample, name in ((visual, torch.zeros(items, 3, size, size), FILES[0]), (textual, ids, FILES[1])):
            if module is None:
                runners.append(None)
                continue
            module.eval()  # what is exported gets the mode again that it had before
            if how.half:
                module, sample = halved(module), sample.half() if sample.is_floating_point() else sample
            export(module, sample, folder / name, how)
            runners.append(quantize(folder / name, how) if how.quantize else module.float())
        return source(folder, size, context, *runners)

    return make


def source(folder, size, context, visual, textual):
    transform = clip.clip._transform(size)

    def images(paths):
        with torch.no_grad():
            return unit(torch.cat([visual(transform(Image.open(path))[None]) for path in paths]))

    def texts(lines):
        with torch.no_grad():
            return unit(torch.cat([textual(clip.tokenize([line], context, True).long()) for line in lines]))

    return Source(folder, images, texts if textual else None)


def describe(how):
    parts = ["ONNX by torch.export" if how.dynamo else "ONNX by tracing", f"opset {how.opset}"]
    parts += ["unfolded"] * (not how.fold) + ["batch of 1"] * (not how.batch) + ["external data"] * how.external
    parts += ["any " + "and ".join(how.axes.values())] * bool(how.axes)
    return ", ".join(parts)


def case(family, make_modules, directory=True, **keywords):
    how = How(**keywords)
    weights = "fp16" if how.half else f"quint8 by {how.quantize}" if how.quantize else "fp32"
    return Case(family, describe(how), weights, graphs(make_modules, how), directory=directory)


def eager(activation="quick_gelu"):
    return lambda: transformers_modules("eager", activation)


def fused(activation="quick_gelu"):
    return lambda: transformers_modules("sdpa", activation)


OPENAI = "OpenAI CLIP"
OPEN = "open_clip"
EAGER = "transformers CLIPModel, eager"
SDPA = "transformers CLIPModel, sdpa"

CASES = [
    *(case(OPENAI, openai_modules, opset=opset) for opset in (12, 13, 14, 15, 16, 17)),
    *(case(OPENAI, openai_modules, opset=opset, fold=False) for opset in (12, 14, 17)),
    case(OPENAI, openai_modules, opset=14, batch=False),
    case(OPENAI, openai_modules, opset=17, external=True),
    *(case(OPENAI, openai_modules, opset=opset, dynamo=True) for opset in (18, 20)),
    case(OPENAI, openai_modules, opset=14, half=True),
    case(OPENAI, openai_modules, opset=17, half=True),
    *(case(OPENAI, openai_modules, opset=opset, quantize=kind) for opset in (12, 17) for kind in ("tensor", "channel")),
    *(case(OPEN, open_clip_modules, opset=opset) for opset in (12, 14, 17)),
    case(OPEN, open_clip_modules, opset=14, fold=False),
    case(OPEN, open_clip_modules, opset=18, dynamo=True),
    case(OPEN, open_clip_modules, opset=18, dynamo=True, external=True),
    case(OPEN, open_clip_modules, opset=17, half=True),
    case(OPEN, open_clip_modules, opset=14, quantize="tensor"),
    case(OPEN + ", CustomTextCLIP", lambda: open_clip_modules(True), opset=17),
    *(case(EAGER, eager(), opset=opset) for opset in (12, 14, 17)),
    case(EAGER, eager(), opset=12, fold=False),
    case(EAGER + ", GELU", eager("gelu"), opset=12),
    case(EAGER + ", GELU by tanh", eager("gelu_pytorch_tanh"), opset=12),
    case(EAGER + ", GELU", eager("gelu"), opset=20, dynamo=True),
    case(EAGER + ", GELU by tanh", eager("gelu_pytorch_tanh"), opset=18, dynamo=True),
    case(EAGER, eager(), opset=14, quantize="tensor"),
    *(case(SDPA, fused(), opset=opset) for opset in (14, 17)),
    case(SDPA, fused(), opset=14, fold=False),
    case(SDPA, fused(), opset=18, dynamo=True),
    case(SDPA + ", GELU", fused("gelu"), opset=17),
    case(SDPA + ", GELU by tanh", fused("gelu_pytorch_tanh"), opset=17),
    case(SDPA + ", GELU by tanh", fused("gelu_pytorch_tanh"), opset=20, dynamo=True),
    case(SDPA, fused(), opset=17, half=True),
    case(SDPA, fused(), opset=17, quantize="tensor"),
    case(SDPA, fused(), opset=17, quantize="channel"),
    *(case("CoCa, coca_ViT-B-32", coca, False, opset=opset) for opset in (14, 17)),
    case("CoCa, coca_ViT-B-32", coca, False, opset=18, dynamo=True),
    case("CLIPA, ViT-L-14-CLIPA, image tower", clipa, False, opset=17),
    case("CLIPA, ViT-L-14-CLIPA, image tower", clipa, False, opset=18, dynamo=True),
    case("open_clip, average pooling after the LayerNorm", average, False, opset=17),
    case("open_clip, texts without a causal mask", not_causal("argmax"), False, opset=17),
    case("open_clip, texts without a causal mask, first row", not_causal("first"), False, opset=18, dynamo=True),
    *(case(OPENAI + ", ResNet", openai_resnet, opset=opset) for opset in (14, 17)),
    case(OPENAI + ", ResNet", openai_resnet, opset=17, fold=False),
    case(OPENAI + ", ResNet", openai_resnet, opset=17, batch=False),
    case(OPENAI + ", ResNet", openai_resnet, opset=18, dynamo=True),
    case(OPEN + ", ResNet", open_clip_resnet, opset=17),
    case(OPEN + ", ResNet", open_clip_resnet, opset=18, dynamo=True),
]
