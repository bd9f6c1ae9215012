"""The same as golden_models.py for SiglipModel: attention pooling, texts that see all of themselves, sigmoid scores."""
import pathlib

import golden_models
import numpy
import torch
from golden_models import Shape
from transformers import SiglipConfig, SiglipModel, SiglipTextConfig, SiglipVisionConfig

# `projection` is the image tower's width, as the model demands.
SMALL = [
    Shape("siglip", (24, 2, 3, 40), (18, 2, 2, 37), 17, 4, 11, 24, activation="gelu_pytorch_tanh", epsilon=1e-6),
    Shape("siglip_fp16", (40, 1, 5, 72), (40, 2, 4, 50), 12, 6, 8, 40, activation="gelu_pytorch_tanh", epsilon=1e-6,
          dtype="float16"),
    Shape("siglip_one_patch", (14, 1, 1, 9), (10, 1, 2, 12), 7, 5, 3, 14, activation="gelu", epsilon=1e-5, images=5),
]

LARGE = [
    Shape("siglip_blocks", (192, 3, 3, 768), (128, 3, 2, 512), 112, 16, 64, 192, activation="gelu_pytorch_tanh",
          epsilon=1e-6, images=7, texts=30),
    Shape("siglip_primes", (251, 2, 1, 509), (131, 2, 1, 257), 97, 11, 61, 251, activation="gelu_pytorch_tanh",
          epsilon=1e-6, images=4, texts=17, dtype="bfloat16"),
]


def write_preprocessor(directory, size):
    (directory / "preprocessor_config.json").write_text(
        '{\n  "image_processor_type": "SiglipImageProcessor",\n'
        f'  "size": {{"height": {size}, "width": {size}}},\n  "resample": 2\n}}\n')


def build_model(shape, vocabulary, random):
    text = SiglipTextConfig(**golden_models.tower(shape, *shape.text), vocab_size=vocabulary,
                            max_position_embeddings=shape.context_length, projection_size=shape.projection)
    vision = SiglipVisionConfig(**golden_models.tower(shape, *shape.image), image_size=shape.image_size,
                                patch_size=shape.patch_size)
    config = SiglipConfig(text_config=text.to_dict(), vision_config=vision.to_dict())
    config._attn_implementation = "eager"
    model = SiglipModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = random.standard_normal(tuple(parameter.shape))
            if name in ("logit_scale", "logit_bias"):
                values = numpy.full(tuple(parameter.shape), 2.3 if name == "logit_scale" else -1.5)
            elif "norm" in name and name.endswith("weight"):
                values = 1 + 0.2 * values
            elif name.endswith("bias"):
                values = 0.1 * values
            elif name.endswith("probe") or ("embedding" in name and "patch" not in name):
                values = 0.7 * values
            else:
                values = 1.3 * values / numpy.sqrt(numpy.prod(parameter.shape[1:]))
            parameter.copy_(torch.from_numpy(values.astype(numpy.float32)))
    return model.to(getattr(torch, shape.dtype))


def make_sequences(shape, vocabulary, random):
    """The model looks at all ids and pools the last, whatever it is; half of them fill the context, as padding does."""
    lengths = [shape.context_length if i % 2 else 1 + i % shape.context_length for i in range(shape.texts)]
    return [random.randint(0, vocabulary, size=length).astype(numpy.int32) for length in lengths]


def expect(model, pixels, sequences):
    with torch.no_grad():
        image = model.vision_model(pixel_values=torch.from_numpy(pixels)).pooler_output
        rows = [model.text_model(input_ids=torch.from_numpy(ids)[None].long()).pooler_output for ids in sequences]
        text = torch.cat(rows)
        image_embeds = image / image.norm(dim=-1, keepdim=True)
        text_embeds = text / text.norm(dim=-1, keepdim=True)
        logits = image_embeds @ text_embeds.T * model.logit_scale.exp() + model.logit_bias
    offsets = numpy.cumsum([0] + [len(ids) for ids in sequences])
    return {
        "pixel_values": torch.from_numpy(pixels),
        "input_ids": torch.from_numpy(numpy.concatenate(sequences)),
        "offsets": torch.from_numpy(offsets.astype(numpy.int64)),
        "image_features": image,
        "text_features": text,
        "image_embeds": image_embeds,
        "text_embeds": text_embeds,
        "logits_per_image": logits,
        "probabilities": torch.sigmoid(logits),
    }


def make(shape, seed, root):
    directory = pathlib.Path(root) / shape.name
    directory.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(1000 + seed)
    vocabulary = golden_models.write_tokenizer(directory)
    write_preprocessor(directory, shape.image_size)
    build_model(shape, vocabulary, random).save_pretrained(directory, max_shard_size=shape.shard_size)
    model = SiglipModel.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    pixels = random.standard_normal((shape.images, 3, shape.image_size, shape.image_size)).astype(numpy.float32)
    golden_models.save_expected(expect(model, pixels, make_sequences(shape, vocabulary, random)), directory)


def make_all(shapes, root):
    torch.set_num_threads(1)
    for seed, shape in enumerate(shapes):
        make(shape, seed, root)
