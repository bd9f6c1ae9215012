"""Random models of every family and format, each saved by the code of the library that it belongs to.

A case makes its files in a folder and hands back what clipc is to be given, and functions that make the library's own
embeddings of images and texts: unit rows in fp32, from the library's own preprocessing and tokenizer.
"""
import dataclasses
import json
import pathlib
import shutil
import typing

import clip
import clip.model
import open_clip
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

transformers.utils.logging.disable_progress_bar()

TOKENIZER_FILES = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"]
DEMO = pathlib.Path(__file__).resolve().parents[2] / "models" / "demo" / "model"


@dataclasses.dataclass
class Source:
    """What a case made."""

    path: pathlib.Path
    images: typing.Optional[typing.Callable]  # paths of images -> embeddings
    texts: typing.Optional[typing.Callable]  # texts -> embeddings
    options: tuple = ()
    encode: typing.Optional[typing.Callable] = None  # texts -> ids, where transformers' tokenizer is not at hand


@dataclasses.dataclass
class Case:
    family: str
    format: str
    precision: str  # of the stored weights
    make: typing.Callable  # folder -> Source
    directory: bool = True  # transformers has such a model
    graphs: bool = True  # export-onnx writes its towers, and clipc reads them again


def unit(rows):
    rows = rows.float()
    return (rows / rows.norm(dim=-1, keepdim=True)).detach().numpy()


def randomize(model, seed):
    """Values that let every bias and gain count, at scales that keep activations ordinary."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("logit_scale") or name.endswith("logit_bias"):
                continue
            if name.endswith("bn3.weight"):  # 0 at first, and then a block would add nothing
                parameter.copy_(0.3 + 0.1 * noise)
            elif parameter.dim() < 2:
                parameter.add_(0.1 * noise)
            elif parameter.dim() == 4 and parameter.shape[-1] <= 3:  # of a ResNet
                parameter.copy_(noise * (2 / parameter[0].numel()) ** 0.5)
            else:
                parameter.copy_(noise * parameter.shape[-1] ** -0.5 * (0.6 if "embedding" not in name else 0.3))
        for name, buffer in model.named_buffers():  # the statistics of BatchNorm
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(torch.exp(0.3 * torch.randn(buffer.shape, generator=generator)))
    return model.eval()


# ---- OpenAI ----

SMALL = {"embed_dim": 48, "image_resolution": 64, "vision_layers": 3, "vision_width": 128, "vision_patch_size": 16,
         "context_length": 77, "vocab_size": 49408, "transformer_width": 64, "transformer_heads": 1,
         "transformer_layers": 2}
VIT_B_32 = {"embed_dim": 512, "image_resolution": 224, "vision_layers": 12, "vision_width": 768,
            "vision_patch_size": 32, "context_length": 77, "vocab_size": 49408, "transformer_width": 512,
            "transformer_heads": 8, "transformer_layers": 12}
RN_SMALL = dict(SMALL, vision_layers=(1, 2, 1, 3), vision_width=12, vision_patch_size=None)
RN50 = dict(VIT_B_32, embed_dim=1024, vision_layers=(3, 4, 6, 3), vision_width=64, vision_patch_size=None)


def openai_model(shape, seed, half):
    model = randomize(clip.model.CLIP(**shape), seed)
    if half:  # as OpenAI stores them: matrices in fp16, norms and embeddings in fp32
        clip.model.convert_weights(model)
    return model


def half_of_script(script):
    """convert_weights of a traced module: what has been traced in fp32 is stored in fp16."""
    for name, parameter in script.named_parameters():
        layer = name.rsplit(".", 2)[-2] if "." in name else ""
        if not layer.startswith(("ln_", "bn")) and ".downsample.1." not in name and not name.endswith(("logit_scale", "embedding", "embedding.weight")):
            parameter.data = parameter.data.half()
    return script


def write_openai_archive(model, path, half):
    size = model.visual.input_resolution
    pixels, ids = torch.zeros(1, 3, size, size), torch.zeros(1, 77, dtype=torch.int64)
    script = torch.jit.trace_module(model, {"forward": (pixels, ids), "encode_image": (pixels,), "encode_text": (ids,)})
    torch.jit.save(half_of_script(script) if half else script, str(path))


def openai_source(path, model, options=()):
    model = model.float()
    transform = clip.clip._transform(model.visual.input_resolution)

    def images(paths):
        with torch.no_grad():
            return unit(model.encode_image(torch.stack([transform(Image.open(path)) for path in paths])))

    def texts(lines):
        with torch.no_grad():
            return unit(model.encode_text(clip.tokenize(lines, truncate=True)))

    return Source(path, images, texts, options)


def openai_archive(shape, half):
    def make(folder):
        path = folder / "ViT.pt"
        model = openai_model(shape, 1, False)
        write_openai_archive(model, path, half)
        if not half:  # clip.load would round the weights to fp16
            return openai_source(path, model)
        return openai_source(path, clip.load(str(path), device="cpu", jit=False)[0])

    return make


def openai_state_dict(half, marked, old=False, shape=None):
    def make(folder):
        path = folder / "weights.pt"
        model = openai_model(shape or SMALL, 2, half)
        state = model.state_dict()
        if marked:  # as the state dict of an archive has them
            state["input_resolution"] = torch.tensor(model.visual.input_resolution)
            state["context_length"] = torch.tensor(model.context_length)
            state["vocab_size"] = torch.tensor(model.vocab_size)
        torch.save(state, path, _use_new_zipfile_serialization=not old)
        return openai_source(path, model, () if marked else ("--activation", "quick_gelu"))

    return make


# ---- open_clip ----

OPEN_CLIP = {
    "embed_dim": 40,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 96, "head_width": 32, "patch_size": 12, "mlp_ratio": 3.0},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
PREPROCESS = {"mean": [0.5, 0.45, 0.4], "std": [0.25, 0.2, 0.3], "interpolation": "bicubic", "resize_mode": "shortest"}


def open_clip_source(folder, dtype, write, changes=None, preprocess=None, with_config=True, options=(), named=None):
    """`write`(state dict, folder) saves the weights and returns what clipc is given. `named`: a model of open_clip's
    own list."""
    config = json.loads(json.dumps(open_clip.get_model_config(named) if named else OPEN_CLIP))
    for key, value in (changes or {}).items():
        if isinstance(value, dict):
            config[key].update(value)
        else:
            config[key] = value
    rule = dict(PREPROCESS, **(preprocess or {})) if with_config else {}
    keywords = {key: value for key, value in config.items() if key not in ("custom_text",)}
    class_of = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = randomize(class_of(**keywords), 4).to(dtype)
    path = write(model.state_dict(), folder)
    if with_config:
        text = json.dumps({"model_cfg": config, "preprocess_cfg": rule})
        (folder / "open_clip_config.json").write_text(text)
    model = model.float()
    transform = open_clip.image_transform(config["vision_cfg"]["image_size"], is_train=False, **rule)

    def images(paths):
        with torch.no_grad():
            return unit(model.encode_image(torch.stack([transform(Image.open(path)) for path in paths])))

    def texts(lines):
        with torch.no_grad():
            return unit(model.encode_text(open_clip.SimpleTokenizer(context_length=77)(lines)))

    return Source(path, images, texts, options)


def write_open_clip_safetensors(state, folder):
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors")
    return folder


def write_open_clip_bin(state, folder):
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    return folder


def write_open_clip_checkpoint(state, folder):
    """As open_clip's training saves it, on several devices."""
    state = {"module." + name: tensor for name, tensor in state.items()}
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, 2)}},
                 "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.98), "params": [0]}]}
    torch.save({"epoch": 1, "name": "run", "state_dict": state, "optimizer": optimizer}, folder / "epoch_1.pt")
    return folder / "epoch_1.pt"


def write_open_clip_old(state, folder):
    torch.save(state, folder / "weights.bin", _use_new_zipfile_serialization=False)
    return folder / "weights.bin"


def open_clip_case(dtype, write, **keywords):
    return lambda folder: open_clip_source(folder, dtype, write, **keywords)


# ---- transformers ----

def transformers_config(activation="quick_gelu"):
    vision = {"hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 3,
              "image_size": 48, "patch_size": 12, "hidden_act": activation, "projection_dim": 40}
    text = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 49408, "max_position_embeddings": 77, "hidden_act": activation, "projection_dim": 40,
            "eos_token_id": 49407, "bos_token_id": 49406, "pad_token_id": 1}
    return vision, text


def transformers_files(folder, image, text, size=48):
    if image:
        transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size).save_pretrained(folder)
    if text:
        for name in TOKENIZER_FILES:
            shutil.copy(DEMO / name, folder / name)


def transformers_embedders(folder, vision_model, text_model):
    """Functions of a loaded model's towers; each may be None. The image processor is the one that uses Pillow."""
    def images(paths):
        processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
        rgb = [Image.open(path) for path in paths]
        pixels = torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in rgb])
        with torch.no_grad():
            return unit(vision_model(pixels))

    def texts(lines):
        tokenizer = transformers.CLIPTokenizerFast.from_pretrained(folder)
        with torch.no_grad():
            rows = [text_model(**tokenizer([line], truncation=True, max_length=77, return_tensors="pt"))
                    for line in lines]
            return unit(torch.cat(rows))

    return images if vision_model else None, texts if text_model else None


def feature(output):
    """The embedding, which transformers 5 wraps."""
    return output if torch.is_tensor(output) else output.pooler_output


def both_towers(folder, model):
    return transformers_embedders(folder, lambda pixels: feature(model.get_image_features(pixel_values=pixels)),
                                  lambda **ids: feature(model.get_text_features(**ids)))


def load_directory(folder, encode=None):
    """Functions from pixels [N, 3, height, width] and from texts to unit embeddings, by the class that config.json names;
    what the model has no tower for fails when it is called."""
    config = json.loads((folder / "config.json").read_text())
    model = getattr(transformers, config["architectures"][0]).from_pretrained(folder).float().eval()
    if config["model_type"].startswith("siglip"):
        return siglip_embedders(model, encode)
    both = config["model_type"] == "clip"
    texts = both_towers(folder, model)[1] if both else transformers_embedders(
        folder, None, lambda **ids: model(**ids).text_embeds)[1]

    def of_pixels(pixels):
        pixels = torch.from_numpy(pixels)
        with torch.no_grad():
            return unit(feature(model.get_image_features(pixel_values=pixels)) if both else model(pixels).image_embeds)

    return of_pixels, texts


def siglip_embedders(model, encode):
    """The tokenizer is that of the source: SiglipTokenizer reads files of SentencePiece alone."""
    def of_pixels(pixels):
        tower = getattr(model, "vision_model", model)
        with torch.no_grad():
            return unit(tower(torch.from_numpy(pixels)).pooler_output)

    def texts(lines):
        tower = getattr(model, "text_model", model)
        with torch.no_grad():
            return unit(tower(input_ids=encode(lines)).pooler_output)

    return of_pixels, texts


def save_transformers(model, folder, form, dtype):
    model = model.to(dtype)
    model.config.save_pretrained(folder)
    if form == "safetensors":
        model.save_pretrained(folder)
    else:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model.float()


def transformers_case(form, dtype, activation="quick_gelu"):
    def make(folder):
        vision, text = transformers_config(activation)
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=40)
        model = save_transformers(randomize(transformers.CLIPModel(config), 5), folder, form, dtype)
        transformers_files(folder, True, True)
        return Source(folder, *both_towers(folder, model))

    return make


def transformers_vision(form):
    def make(folder):
        config = transformers.CLIPVisionConfig(**transformers_config()[0])
        model = randomize(transformers.CLIPVisionModelWithProjection(config), 6)
        model = save_transformers(model, folder, form, torch.float32)
        transformers_files(folder, True, False)
        return Source(folder, *transformers_embedders(folder, lambda pixels: model(pixels).image_embeds, None))

    return make


def transformers_text(form):
    def make(folder):
        config = transformers.CLIPTextConfig(**transformers_config()[1])
        model = randomize(transformers.CLIPTextModelWithProjection(config), 7)
        model = save_transformers(model, folder, form, torch.float32)
        transformers_files(folder, False, True)
        return Source(folder, *transformers_embedders(folder, None, lambda **ids: model(**ids).text_embeds))

    return make


OPENAI = "OpenAI CLIP"
OPENAI_RN = "OpenAI CLIP, ResNet"
OPEN = "open_clip"
CUSTOM = "open_clip, CustomTextCLIP"
HF = "transformers CLIPModel"
TANH = {"vision_cfg": {"act_kwargs": {"approximate": "tanh"}}, "text_cfg": {"act_kwargs": {"approximate": "tanh"}}}
RESNET = {"vision_cfg": {"layers": [2, 1, 3, 1], "width": 8, "head_width": 32, "image_size": 96, "patch_size": None,
                         "mlp_ratio": 4.0}}
SQUASH = {"interpolation": "bilinear", "resize_mode": "squash"}

CASES = [
    Case(OPENAI, "TorchScript archive .pt", "fp16", openai_archive(SMALL, True)),
    Case(OPENAI, "TorchScript archive .pt", "fp32", openai_archive(SMALL, False)),
    Case(OPENAI, "state dict .pt of an archive", "fp16", openai_state_dict(True, True)),
    Case(OPENAI, "state dict .pt", "fp16", openai_state_dict(True, False)),
    Case(OPENAI, "state dict .pt", "fp32", openai_state_dict(False, False)),
    Case(OPENAI, "state dict .pt before PyTorch 1.6", "fp16", openai_state_dict(True, True, old=True)),
    Case(OPENAI_RN, "TorchScript archive .pt", "fp16", openai_archive(RN_SMALL, True)),
    Case(OPENAI_RN, "TorchScript archive .pt", "fp32", openai_archive(RN_SMALL, False)),
    Case(OPENAI_RN, "state dict .pt of an archive", "fp16", openai_state_dict(True, True, shape=RN_SMALL)),
    Case(OPENAI_RN, "state dict .pt", "fp32", openai_state_dict(False, False, shape=RN_SMALL)),
    Case(OPEN, "safetensors", "fp32", open_clip_case(torch.float32, write_open_clip_safetensors)),
    Case(OPEN, "safetensors", "fp16",
         open_clip_case(torch.float16, write_open_clip_safetensors, changes={"quick_gelu": True})),
    Case(OPEN, "safetensors", "bf16",
         open_clip_case(torch.bfloat16, write_open_clip_safetensors, changes=TANH, preprocess=SQUASH)),
    Case(OPEN, "state dict .bin", "fp32", open_clip_case(torch.float32, write_open_clip_bin, preprocess=SQUASH)),
    Case(OPEN, "state dict .bin", "fp16", open_clip_case(torch.float16, write_open_clip_bin)),
    Case(OPEN, "state dict .bin before PyTorch 1.6", "fp32", open_clip_case(torch.float32, write_open_clip_old)),
    Case(OPEN, "training checkpoint .pt", "fp32", open_clip_case(torch.float32, write_open_clip_checkpoint)),
    Case(OPEN, "state dict .bin, no config", "fp32",
         open_clip_case(torch.float32, write_open_clip_bin, with_config=False, options=("--activation", "gelu"),
                        changes={"vision_cfg": {"width": 128, "head_width": 64},
                                 "text_cfg": {"width": 64, "heads": 1}})),
    Case(OPEN + ", ResNet", "safetensors", "fp32",
         open_clip_case(torch.float32, write_open_clip_safetensors, changes=RESNET)),
    Case(OPEN + ", ResNet", "safetensors", "fp16",
         open_clip_case(torch.float16, write_open_clip_safetensors, changes=dict(RESNET, quick_gelu=True))),
    Case(OPEN + ", ResNet", "state dict .bin", "fp32", open_clip_case(torch.float32, write_open_clip_bin, changes=RESNET)),
    Case(CUSTOM + ", ResNet", "safetensors", "fp32",
         open_clip_case(torch.float32, write_open_clip_safetensors, changes=dict(RESNET, custom_text=True))),
    Case(CUSTOM, "safetensors", "fp32",
         open_clip_case(torch.float32, write_open_clip_safetensors, changes={"custom_text": True})),
    Case(HF, "safetensors", "fp32", transformers_case("safetensors", torch.float32)),
    Case(HF, "safetensors", "fp16", transformers_case("safetensors", torch.float16, "gelu")),
    Case(HF, "safetensors", "bf16", transformers_case("safetensors", torch.bfloat16)),
    Case(HF, "pytorch_model.bin", "fp32", transformers_case("bin", torch.float32)),
    Case(HF, "pytorch_model.bin", "fp16", transformers_case("bin", torch.float16)),
    Case("transformers CLIPVisionModelWithProjection", "safetensors", "fp32", transformers_vision("safetensors")),
    Case("transformers CLIPVisionModelWithProjection", "pytorch_model.bin", "fp32", transformers_vision("bin")),
    Case("transformers CLIPTextModelWithProjection", "safetensors", "fp32", transformers_text("safetensors")),
    Case("transformers CLIPTextModelWithProjection", "pytorch_model.bin", "fp32", transformers_text("bin")),
]
LARGE = [
    Case(OPENAI + ", ViT-B/32", "TorchScript archive .pt", "fp16", openai_archive(VIT_B_32, True)),
    Case(OPENAI + ", RN50", "TorchScript archive .pt", "fp16", openai_archive(RN50, True)),
    Case(OPEN + ", RN50", "safetensors", "fp32",
         open_clip_case(torch.float32, write_open_clip_safetensors, named="RN50")),
]
