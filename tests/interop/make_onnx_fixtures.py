"""Writes tests/unit/onnx: one tiny model as graphs of every exporter, and its weights.

    make_onnx_fixtures.py

The same random weights go into OpenAI's, open_clip's and transformers' modules, so that every graph must give the same
weights back. Small enough for the tree; the graphs are seeds of the fuzz target, too.
"""
import json
import pathlib

import clip.model
import onnx
import onnxruntime.quantization
import torch
import transformers
from safetensors.torch import save_file

import onnx_graphs
import open_clip
from onnx_graphs import How, Textual, export, halved
from sources import feature, randomize

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "unit" / "onnx"
FUZZ = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "corpus" / "onnx"
WIDTH, HEADS, LAYERS, SIZE, PATCH, TOKENS, WORDS, DIMENSION = 12, 3, 2, 8, 4, 5, 20, 6


def openai():
    model = clip.model.CLIP(DIMENSION, SIZE, LAYERS, 64, PATCH, TOKENS, WORDS, WIDTH, HEADS, LAYERS)
    model.visual = clip.model.VisionTransformer(SIZE, PATCH, WIDTH, LAYERS, HEADS, DIMENSION)
    return randomize(model, 1)


def transformers_state(model):
    """The weights under transformers' names."""
    state = {}
    for tower, ours, layers in (("vision_model", model.visual, model.visual.transformer.resblocks),
                                ("text_model", model, model.transformer.resblocks)):
        for i, block in enumerate(layers):
            at = f"{tower}.encoder.layers.{i}."
            parts = zip(("q", "k", "v"), block.attn.in_proj_weight.chunk(3), block.attn.in_proj_bias.chunk(3))
            for name, weight, bias in parts:
                state[f"{at}self_attn.{name}_proj.weight"] = weight
                state[f"{at}self_attn.{name}_proj.bias"] = bias
            for name, part in (("self_attn.out_proj", block.attn.out_proj), ("layer_norm1", block.ln_1),
                               ("layer_norm2", block.ln_2), ("mlp.fc1", block.mlp.c_fc), ("mlp.fc2", block.mlp.c_proj)):
                state[f"{at}{name}.weight"], state[f"{at}{name}.bias"] = part.weight, part.bias
    visual = model.visual
    state.update({
        "vision_model.embeddings.class_embedding": visual.class_embedding,
        "vision_model.embeddings.patch_embedding.weight": visual.conv1.weight,
        "vision_model.embeddings.position_embedding.weight": visual.positional_embedding,
        "vision_model.pre_layrnorm.weight": visual.ln_pre.weight, "vision_model.pre_layrnorm.bias": visual.ln_pre.bias,
        "vision_model.post_layernorm.weight": visual.ln_post.weight,
        "vision_model.post_layernorm.bias": visual.ln_post.bias, "visual_projection.weight": visual.proj.T,
        "text_model.embeddings.token_embedding.weight": model.token_embedding.weight,
        "text_model.embeddings.position_embedding.weight": model.positional_embedding,
        "text_model.final_layer_norm.weight": model.ln_final.weight,
        "text_model.final_layer_norm.bias": model.ln_final.bias, "text_projection.weight": model.text_projection.T,
        "logit_scale": model.logit_scale})
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


def config():
    both = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
            "projection_dim": DIMENSION}
    return {"model_type": "clip", "projection_dim": DIMENSION,
            "vision_config": dict(both, image_size=SIZE, patch_size=PATCH),
            "text_config": dict(both, vocab_size=WORDS, max_position_embeddings=TOKENS, eos_token_id=2,
                                bos_token_id=0, pad_token_id=1)}


def of_transformers(state, attention):
    made = transformers.CLIPModel._from_config(transformers.CLIPConfig(**config()), attn_implementation=attention)
    missing, unexpected = made.load_state_dict(state, strict=False)
    assert not unexpected and all("position_ids" in name for name in missing), (missing, unexpected)
    made.eval()
    return (onnx_graphs.Calls(made, lambda m, x: feature(m.get_image_features(pixel_values=x))),
            onnx_graphs.Calls(made, lambda m, x: feature(m.get_text_features(input_ids=x))))


def shorten(graph, names=None):
    """Names and stack traces, which make up most of the file and count nothing."""
    names = names or {"": "", "input": "input", "output": "output"}
    for array in graph.initializer:
        array.name = names.setdefault(array.name, f"w{len(names)}")
    for i, node in enumerate(graph.node):
        node.name = f"n{i}"
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
        for field in (node.input, node.output):
            for j, value in enumerate(field):
                field[j] = names.setdefault(value, f"v{len(names)}")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                shorten(attribute.g, names)
                for value in attribute.g.output:
                    value.name = names[value.name]
    graph.ClearField("value_info")


def write_graph(name, module, sample, how):
    path = FOLDER / f"{name}.onnx"
    if how.half:
        module, sample = halved(module), sample.half() if sample.is_floating_point() else sample
    export(module, sample, path, how)
    if how.quantize:
        plain = path.with_suffix(".plain")
        path.rename(plain)
        onnxruntime.quantization.quantize_dynamic(
            str(plain), str(path), per_channel=how.quantize == "channel",
            weight_type=onnxruntime.quantization.QuantType.QUInt8)
        plain.unlink()
    model = onnx.load(path)
    shorten(model.graph)
    onnx.save(model, path)


def write(name, modules, how):
    pixels, ids = torch.zeros(2, 3, SIZE, SIZE), torch.zeros(2, TOKENS, dtype=torch.int64)
    for module, sample, tower in zip(modules, (pixels, ids), ("visual", "textual")):
        write_graph(f"{name}_{tower}", module, sample, how)


def resnet():
    return randomize(clip.model.ModifiedResNet((1, 2, 1, 1), DIMENSION, 2, 64, 2), 2)


def coca():
    text = {"context_length": TOKENS, "vocab_size": WORDS, "width": WIDTH, "heads": HEADS, "layers": 1, "embed_cls": True,
            "output_tokens": True}
    vision = {"image_size": SIZE, "patch_size": PATCH, "width": WIDTH, "head_width": 4, "layers": 1,
              "attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 3, "output_tokens": True}
    multimodal = {"context_length": TOKENS, "vocab_size": WORDS, "width": WIDTH, "heads": HEADS, "layers": 1}
    model = randomize(open_clip.CoCa(DIMENSION, multimodal, text, vision), 3)
    return (onnx_graphs.Calls(model, lambda m, x: m.encode_image(x)).eval(),
            onnx_graphs.Calls(model, lambda m, x: m.encode_text(x)).eval())


def average():
    vision = {"image_size": SIZE, "patch_size": PATCH, "width": WIDTH, "head_width": 4, "layers": 1, "pool_type": "avg",
              "final_ln_after_pool": True, "no_ln_pre": True}
    text = {"context_length": TOKENS, "vocab_size": WORDS, "width": WIDTH, "heads": HEADS, "layers": 1,
            "no_causal_mask": True}
    model = randomize(open_clip.CLIP(DIMENSION, vision, text), 4)
    return (onnx_graphs.Calls(model, lambda m, x: m.encode_image(x)).eval(),
            onnx_graphs.Calls(model, lambda m, x: m.encode_text(x)).eval())


def write_seed(name):
    """The graph again, its arrays all at the beginning of the file itself, for the fuzz target, which reads external
    data so."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    for array in model.graph.initializer:
        if len(array.raw_data) >= 256:
            onnx.external_data_helper.set_external_data(array, "here", 0, len(array.raw_data))
            array.ClearField("raw_data")
            array.data_location = onnx.TensorProto.EXTERNAL
    (FUZZ / f"{name}.onnx").write_bytes(model.SerializeToString())


def main():
    FOLDER.mkdir(exist_ok=True)
    pixels = torch.zeros(2, 3, 64, 64)
    write_graph("resnet_17_visual", resnet(), pixels, How(opset=17))
    write_graph("resnet_18_export_visual", resnet(), pixels, How(opset=18, dynamo=True))
    write("coca_14", coca(), How(opset=14))
    write("coca_18_export", coca(), How(opset=18, dynamo=True))
    write("average_17", average(), How(opset=17))
    for name in ("resnet_17_visual", "resnet_18_export_visual", "coca_14_visual", "coca_14_textual",
                 "coca_18_export_visual", "coca_18_export_textual", "average_17_visual", "average_17_textual"):
        write_seed(name)
    model = openai()
    state = transformers_state(model)
    save_file(state, FOLDER / "model.safetensors")
    (FOLDER / "config.json").write_text(json.dumps(config(), indent=2) + "\n")
    traced = (model.visual, Textual(model))
    eager, sdpa = of_transformers(state, "eager"), of_transformers(state, "sdpa")
    write("openai_12", traced, How(opset=12))
    write("openai_14_unfolded", traced, How(opset=14, fold=False))
    write("openai_17", traced, How(opset=17))
    write("openai_18_export", traced, How(opset=18, dynamo=True))
    write("openai_17_quint8", traced, How(opset=17, quantize="tensor"))
    write("transformers_12_eager", eager, How(opset=12))
    write("transformers_17_sdpa", sdpa, How(opset=17))
    write("transformers_20_export", sdpa, How(opset=20, dynamo=True))
    write("transformers_14_quint8", sdpa, How(opset=14, quantize="channel"))


main()
