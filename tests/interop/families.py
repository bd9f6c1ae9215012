"""Models of other people's open_clip configs, made small: MetaCLIP, DFN, TinyCLIP, CLIPA, CoCa, EVA, MobileCLIP2; and
MetaCLIP and MetaCLIP 2 as transformers has them. See sources.py."""
import contextlib
import functools
import json
import pathlib
import sys
from unittest import mock

import open_clip
import open_clip.timm_model
import torch
import transformers
from PIL import Image
from sources import (Case, Source, both_towers, feature, randomize, transformers_case, transformers_config,
                     transformers_files, unit, write_open_clip_bin, write_open_clip_checkpoint, write_open_clip_safetensors)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import pieces_reference as reference  # noqa: E402


def merged(config, changes):
    """Sections are changed key by key."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            merged(config[key], value)
        else:
            config[key] = value
    return config


@contextlib.contextmanager
def small_timm(changes):
    """timm's models by their names, but of other sizes."""
    create = open_clip.timm_model.timm.create_model
    with mock.patch.object(open_clip.timm_model.timm, "create_model",
                           lambda name, **keywords: create(name, **dict(keywords, **changes))):
        yield


def family(named, changes, dtype=torch.float32, write=write_open_clip_safetensors, rule=None, timm=None, texts=True):
    """`named`: a config of open_clip's; `texts`: whether its tokenizer is CLIP's."""
    def make(folder):
        config = merged(json.loads(json.dumps(open_clip.get_model_config(named))), json.loads(json.dumps(changes)))
        keywords = {key: value for key, value in config.items() if key != "custom_text"}
        kind = (open_clip.CoCa if "multimodal_cfg" in config else
                open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP)
        with small_timm(timm or {}):
            model = randomize(kind(**json.loads(json.dumps(keywords))), 31).to(dtype)
        preprocess = dict({"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic",
                           "resize_mode": "shortest"}, **(rule or {}))
        path = write(model.state_dict(), folder)
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
        model = model.float()
        transform = open_clip.image_transform(config["vision_cfg"]["image_size"], is_train=False, **preprocess)
        tokenizer = open_clip.SimpleTokenizer(context_length=config["text_cfg"]["context_length"])

        def of_images(paths):
            with torch.no_grad():
                return unit(model.encode_image(torch.stack([transform(Image.open(path)) for path in paths])))

        def of_texts(lines):
            with torch.no_grad():
                return unit(model.encode_text(tokenizer(lines)))

        source = Source(path, of_images, of_texts if texts else None)
        source.texts_of = lambda lines, encode: unit(model.encode_text(encode(lines)).detach())
        return source

    return make


# ---- TinyCLIP's own checkpoints ----

def tiny_writer(distributed):
    """The names of TinyCLIP's CLIPBase, whose encoders and scale are modules of their own, as its training saves them."""
    def write(state, folder):
        within = "module." if distributed else ""
        renamed = {}
        for name, tensor in state.items():
            part = "image_encoder" if name.startswith("visual.") else "text_encoder"
            part = "logit_scale" if name == "logit_scale" else part
            renamed[f"_{part}.{within}{name}"] = tensor
        torch.save({"epoch": 1, "name": "run", "state_dict": renamed}, folder / "TinyCLIP.pt")
        return folder / "TinyCLIP.pt"

    return write


# ---- MetaCLIP 2, whose texts are XLM-RoBERTa's pieces ----

@functools.lru_cache(None)
def pieces():
    return reference.xlm_roberta(reference.train_unigram(900), reference.small_charsmap())


def write_pieces(folder, context):
    """The vocabulary's size, and a function from texts to ids as transformers loads the files."""
    (folder / "tokenizer.json").write_text(pieces().to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLMRobertaTokenizer"}))

    def encode(lines):
        tokenizer = transformers.XLMRobertaTokenizer.from_pretrained(folder)
        return torch.tensor(tokenizer(lines, padding="max_length", truncation=True, max_length=context).input_ids)

    return pieces().get_vocab_size(), encode


def metaclip2(folder):
    vocabulary, encode = write_pieces(folder, 77)
    vision, text = transformers_config("quick_gelu")
    text = dict(text, vocab_size=vocabulary, eos_token_id=2, bos_token_id=0)
    config = transformers.MetaClip2Config(vision_config=vision, text_config=text, projection_dim=40)
    model = randomize(transformers.MetaClip2Model(config), 33)
    model.save_pretrained(folder)
    transformers_files(folder, True, False)

    def texts(lines):
        with torch.no_grad():
            return unit(feature(model.get_text_features(input_ids=encode(lines))))

    return Source(folder, both_towers(folder, model)[0], texts)


def worldwide(folder):
    """open_clip's cleaning of texts, which its own tokenizer wrapper does."""
    vocabulary, encode = write_pieces(folder, 77)
    changes = merged(towers(70, 14, 160, 80), {"text_cfg": {"vocab_size": vocabulary}})
    made = family("ViT-H-14-worldwide-quickgelu", changes)(folder)

    def texts(lines):
        return made.texts_of([reference.clean(line, "whitespace") for line in lines], encode)

    return Source(made.path, made.images, texts)


def towers(size, patch, width, head, text_width=64, dimension=40, **image):
    """Changes that make a config small: two layers a tower."""
    return {"embed_dim": dimension,
            "vision_cfg": dict({"image_size": size, "patch_size": patch, "layers": 2, "width": width, "head_width": head},
                               **image),
            "text_cfg": {"width": text_width, "heads": 2, "layers": 2}}


def coca(changes):
    return merged(changes, {"multimodal_cfg": {"width": changes["text_cfg"]["width"], "heads": 2, "layers": 1}})


EVA = {"img_size": 56, "embed_dim": 176, "depth": 2, "num_heads": 16}  # heads are as many as the name says
TIMM_CLIP = {"img_size": 56, "embed_dim": 256, "depth": 2, "num_heads": 16}
CASES = [
    Case("MetaCLIP (open_clip, quickgelu)", "state dict .bin", "fp16",
         family("ViT-B-32-quickgelu", towers(64, 16, 96, 32), torch.float16, write_open_clip_bin)),
    Case("MetaCLIP (open_clip, quickgelu)", "training checkpoint .pt", "fp32",
         family("ViT-L-14-quickgelu", towers(42, 14, 128, 64), write=write_open_clip_checkpoint)),
    Case("MetaCLIP (transformers)", "safetensors", "fp32", transformers_case("safetensors", torch.float32)),
    Case("MetaCLIP 2 (transformers)", "safetensors", "fp32", metaclip2, directory=False),
    Case("MetaCLIP 2 (open_clip, ViT-H-14-worldwide-quickgelu)", "safetensors", "fp32", worldwide, directory=False),
    Case("DFN, ViT-B-16", "safetensors", "fp32", family("ViT-B-16", towers(64, 16, 96, 32))),
    Case("DFN, ViT-H-14-378-quickgelu", "safetensors", "fp32",
         family("ViT-H-14-378-quickgelu", towers(70, 14, 160, 80), rule={"resize_mode": "squash"})),
    Case("TinyCLIP, ViT-39M-16-Text-19M", "safetensors", "fp32",
         family("ViT-B-16", towers(64, 16, 64, 64, text_width=64, dimension=64))),
    Case("TinyCLIP, ViT-39M-16-Text-19M", "TinyCLIP's own checkpoint .pt", "fp32",
         family("ViT-B-16", towers(64, 16, 64, 64, text_width=64, dimension=64), write=tiny_writer(True))),
    Case("TinyCLIP, ViT-40M-32-Text-19M", "TinyCLIP's own checkpoint .pt", "fp16",
         family("ViT-B-32", towers(64, 16, 64, 64, text_width=64, dimension=64), torch.float16, tiny_writer(False))),
    Case("TinyCLIP, ResNet-19M-Text-19M", "TinyCLIP's own checkpoint .pt", "fp32",
         family("RN50", {"embed_dim": 40, "vision_cfg": {"layers": [1, 2, 1, 1], "width": 12, "image_size": 64, "head_width": 32},
                         "text_cfg": {"width": 64, "heads": 2, "layers": 2}}, write=tiny_writer(True)), directory=False),
    Case("CLIPA, ViT-L-14-CLIPA, image tower", "safetensors", "fp32",
         family("ViT-L-14-CLIPA", towers(56, 14, 128, 64), texts=False), directory=False),
    Case("CLIPA, ViT-H-14-CLIPA-336, image tower", "safetensors", "bf16",
         family("ViT-H-14-CLIPA-336", towers(70, 14, 160, 80), torch.bfloat16, texts=False), directory=False),
    Case("open_clip, average pooling after the LayerNorm", "safetensors", "fp32",
         family("ViT-B-32", towers(64, 16, 96, 32, pool_type="avg")), directory=False),
    Case("open_clip, texts without a causal mask", "safetensors", "fp32",
         family("ViT-B-32", merged(towers(64, 16, 96, 32), {"text_cfg": {"no_causal_mask": True}})), directory=False),
    Case("open_clip, texts without a causal mask, first row", "safetensors", "fp32",
         family("ViT-B-32", merged(towers(64, 16, 96, 32), {"text_cfg": {"no_causal_mask": True,
                                                                          "pool_type": "first"}})), directory=False),
    Case("CoCa, coca_ViT-B-32", "safetensors", "fp32",
         family("coca_ViT-B-32", coca(towers(64, 16, 96, 32))), directory=False),
    Case("CoCa, coca_ViT-L-14", "state dict .bin", "fp16",
         family("coca_ViT-L-14", coca(towers(56, 14, 128, 64, text_width=96, dimension=96)), torch.float16,
                write_open_clip_bin), directory=False),
    Case("CoCa as wide as its embedding", "safetensors", "fp32",
         family("coca_ViT-B-32", coca(towers(64, 16, 64, 32, dimension=64))), directory=False),
    Case("EVA-CLIP, EVA01-g-14", "safetensors", "fp32",
         family("EVA01-g-14", {"embed_dim": 40, "vision_cfg": {"image_size": 56},
                               "text_cfg": {"width": 64, "heads": 2, "layers": 2}}, timm=EVA), directory=False),
    Case("MobileCLIP2-L-14", "safetensors", "fp32",
         family("MobileCLIP2-L-14", {"embed_dim": 40, "vision_cfg": {"image_size": 56},
                                     "text_cfg": {"width": 64, "heads": 2, "layers": 2}}, timm=TIMM_CLIP),
         directory=False),
]
