"""Random CLIPModels of odd shapes, saved as transformers saves them, with what transformers makes of random inputs.

All random numbers come from NumPy's legacy generator, which gives the same ones on every machine, so a model made
anew equals the old one bit for bit; the embeddings are equal up to the rounding of PyTorch's kernels.
"""
import dataclasses
import json
import pathlib

import numpy
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel


@dataclasses.dataclass
class Shape:
    """One model. text and image: (width, layers, heads, mlp width)."""

    name: str
    image: tuple
    text: tuple
    image_size: int
    patch_size: int
    context_length: int
    projection: int
    activation: str = "quick_gelu"
    epsilon: float = 1e-5
    legacy_eos: bool = False
    dtype: str = "float32"
    shard_size: str = "1GB"
    images: int = 3
    texts: int = 12


# Small enough to be kept in the tree: together they take every path through a config, a weight file and a kernel's
# remainder loops.
SMALL = [
    Shape("odd_widths", (27, 2, 3, 41), (15, 3, 5, 23), 23, 5, 7, 13),
    Shape("gelu_one_head", (33, 1, 1, 57), (17, 2, 1, 35), 14, 7, 13, 19, activation="gelu", epsilon=1e-6),
    Shape("gelu_tanh", (20, 2, 5, 80), (12, 1, 2, 31), 12, 3, 9, 40, activation="gelu_pytorch_tanh"),
    Shape("legacy_eos", (24, 2, 2, 96), (16, 2, 2, 64), 16, 8, 16, 8, legacy_eos=True),
    Shape("fp16", (40, 2, 4, 100), (24, 2, 3, 72), 19, 6, 11, 32, dtype="float16"),
    Shape("bf16", (48, 1, 2, 64), (20, 3, 4, 44), 20, 4, 10, 24, dtype="bfloat16"),
    Shape("sharded", (36, 3, 6, 50), (18, 2, 3, 37), 15, 5, 8, 21, shard_size="30KB"),
    Shape("one_patch", (10, 1, 2, 7), (14, 1, 7, 9), 9, 6, 2, 3, images=5),
]

# Made by `make check-parity` only: widths, head widths and token counts that cross the kernels' block sizes.
LARGE = [
    Shape("blocks", (192, 4, 3, 768), (128, 4, 2, 512), 112, 16, 77, 128, images=9, texts=40),
    Shape("primes", (251, 3, 1, 509), (131, 3, 1, 257), 97, 11, 61, 127, activation="gelu", images=5, texts=17),
    Shape("wide_heads", (320, 2, 2, 640), (256, 2, 2, 1000), 70, 14, 33, 333, dtype="float16", images=4),
    Shape("narrow_heads", (144, 2, 18, 333), (96, 2, 24, 200), 65, 13, 50, 77, dtype="bfloat16", shard_size="400KB"),
    Shape("many_tokens", (64, 2, 1, 130), (64, 2, 4, 96), 200, 8, 300, 50, images=2, legacy_eos=True),
]


def byte_symbols():
    """OpenAI's table of a printable character for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def write_tokenizer(directory):
    """A tokenizer with three merges, so that the directory is complete; returns the vocabulary's size."""
    merges = [("c", "a"), ("ca", "t</w>"), ("d", "o")]
    words = byte_symbols()
    words += [word + "</w>" for word in words] + ["".join(merge) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2"] + [" ".join(merge) for merge in merges]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(words)


def write_preprocessor(directory, size):
    rule = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "do_convert_rgb": True,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(rule, indent=2) + "\n")


def tower(shape, width, layers, heads, mlp_width):
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": mlp_width,
        "hidden_act": shape.activation,
        "layer_norm_eps": shape.epsilon,
        "projection_dim": shape.projection,
    }


def build_model(shape, vocabulary, random):
    """Weights of the size that training gives: every layer changes its rows, and no two inputs come out alike."""
    last = vocabulary - 1
    text = tower(shape, *shape.text) | {
        "vocab_size": vocabulary,
        "max_position_embeddings": shape.context_length,
        "bos_token_id": last - 1,
        "eos_token_id": 2 if shape.legacy_eos else last,
        "pad_token_id": last,
    }
    vision = tower(shape, *shape.image) | {"image_size": shape.image_size, "patch_size": shape.patch_size}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=shape.projection)
    config._attn_implementation = "eager"
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = random.standard_normal(tuple(parameter.shape))
            if name == "logit_scale":
                values = numpy.asarray(2.6592)
            elif "norm" in name and name.endswith("weight"):
                values = 1 + 0.2 * values
            elif name.endswith("bias"):
                values = 0.1 * values
            elif "embedding" in name and "patch" not in name:
                values = 0.7 * values
            else:
                values = 1.3 * values / numpy.sqrt(numpy.prod(parameter.shape[1:]))
            parameter.copy_(torch.from_numpy(values.astype(numpy.float32)))
    return model.to(getattr(torch, shape.dtype))


def make_sequences(shape, vocabulary, random):
    """Of many lengths; with the end token last, anywhere, twice, and missing."""
    start, end = vocabulary - 2, vocabulary - 1
    sequences = []
    for i in range(shape.texts):
        length = 1 + i % shape.context_length if i % 2 else shape.context_length
        ids = random.randint(0, vocabulary - 2, size=length).astype(numpy.int32)
        if i % 4 != 2:
            ids[0] = start
            ids[random.randint(0, length) if i % 4 == 1 else -1] = end
        if i % 4 == 3:
            ids[length // 2] = end
        sequences.append(ids)
    return sequences


def expect(model, pixels, sequences):
    """What the fp32 model makes of the inputs, each text alone and unpadded."""
    with torch.no_grad():
        image = model.visual_projection(model.vision_model(pixel_values=torch.from_numpy(pixels)).pooler_output)
        rows = [
            model.text_projection(model.text_model(input_ids=torch.from_numpy(ids)[None].long()).pooler_output)
            for ids in sequences
        ]
    text = torch.cat(rows)
    offsets = numpy.cumsum([0] + [len(ids) for ids in sequences])
    return {
        "pixel_values": torch.from_numpy(pixels),
        "input_ids": torch.from_numpy(numpy.concatenate(sequences)),
        "offsets": torch.from_numpy(offsets.astype(numpy.int64)),
        "image_features": image,
        "text_features": text,
        "image_embeds": image / image.norm(dim=-1, keepdim=True),
        "text_embeds": text / text.norm(dim=-1, keepdim=True),
    }


def make(shape, seed, root):
    """Writes root/<name>: a directory as transformers lays it out, and expected.safetensors."""
    directory = pathlib.Path(root) / shape.name
    directory.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(seed)
    vocabulary = write_tokenizer(directory)
    write_preprocessor(directory, shape.image_size)
    build_model(shape, vocabulary, random).save_pretrained(directory, max_shard_size=shape.shard_size)
    model = CLIPModel.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    pixels = random.standard_normal((shape.images, 3, shape.image_size, shape.image_size)).astype(numpy.float32)
    save_expected(expect(model, pixels, make_sequences(shape, vocabulary, random)), directory)


def save_expected(expected, directory):
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, directory / "expected.safetensors")
    for path in directory.iterdir():
        path.chmod(0o644)


def make_all(shapes, root):
    torch.set_num_threads(1)
    for seed, shape in enumerate(shapes):
        make(shape, seed, root)
