"""SigLIPs of transformers and open_clip with random weights, and tokenizers trained on the spot: see sources.py."""
import functools
import json
import pathlib
import shutil
import sys

import families
import onnx_graphs
import open_clip
import torch
import transformers
from PIL import Image
from sources import Case, Source, feature, randomize, unit, write_open_clip_bin, write_open_clip_safetensors
from tokenizers import normalizers, pre_tokenizers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import pieces_reference as reference  # noqa: E402

CONTEXT = 64
PIECES = pathlib.Path(__file__).resolve().parents[1] / "unit" / "pieces"


# ---- tokenizers, and the files they are read from ----

@functools.lru_cache(None)
def unigram():
    """SiglipTokenizer: a unigram model over canonicalised text, padded with </s>."""
    tokenizer = reference.unigram(reference.train_unigram(900), normalizers.Precompiled(reference.small_charsmap()),
                                  pre_tokenizers.Metaspace(reference.MARK, "always"), special=[])
    config = {"tokenizer_class": "SiglipTokenizer", "model_max_length": CONTEXT}
    return tokenizer, config, 1, reference.canonicalize_siglip


def gemma(lower):
    """byte pairs with single bytes as a fallback, as SigLIP 2 has them."""
    def make():
        tokenizer = reference.gemma(*reference.train_pairs(1500), lower, reference.gemma_added())
        config = {"tokenizer_class": "Siglip2Tokenizer" if lower else "GemmaTokenizer", "padding_side": "right",
                  "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
                  "mask_token": "<mask>", "add_bos_token": False, "add_eos_token": True}
        return tokenizer, config, 0, lambda text: text
    return make


@functools.lru_cache(None)
def open_clip_unigram():
    """T5Tokenizer behind open_clip's canonicalize, as the files of its SigLIPs say."""
    map_bytes = reference.small_charsmap()
    tokenizer = reference.t5(reference.train_unigram(900), map_bytes)
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>", "model_max_length": CONTEXT}
    return tokenizer, config, 1, lambda text: reference.clean(text, "canonicalize")


def write_tokenizer(folder, made):
    """Returns the vocabulary's size and the function from texts to ids [texts, 64]."""
    if callable(made):
        return made(folder)
    tokenizer, config, pad, before = made
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    padded = tokenizer.from_str(tokenizer.to_str())
    padded.enable_truncation(CONTEXT)
    padded.enable_padding(pad_id=pad, pad_token="pad", length=CONTEXT)

    def encode(lines):
        return torch.tensor([encoding.ids for encoding in padded.encode_batch([before(line) for line in lines])])

    return tokenizer.get_vocab_size(), encode


def of_sentencepiece(model, name, tokenizer_class, **config):
    """A directory without tokenizer.json: transformers' own reading of the file of SentencePiece."""
    def write(folder):
        shutil.copy(PIECES / model, folder / name)
        named = dict({"tokenizer_class": tokenizer_class, "model_max_length": CONTEXT}, **config)
        (folder / "tokenizer_config.json").write_text(json.dumps(named))
        tokenizer = getattr(transformers, tokenizer_class).from_pretrained(folder)

        def encode(lines):
            made = tokenizer(lines, padding="max_length", truncation=True, max_length=CONTEXT)
            return torch.tensor(made.input_ids)

        return len(tokenizer), encode

    return lambda: write


# ---- transformers ----

def siglip_configs(vocabulary, size):
    vision = {"hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 3,
              "image_size": size, "patch_size": 12}
    text = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": vocabulary, "max_position_embeddings": CONTEXT, "projection_size": 96}
    return vision, text


def write_processor(folder, size, resample):
    transformers.SiglipImageProcessor(size={"height": size, "width": size}, resample=resample).save_pretrained(folder)


def processed(folder, paths):
    """The image processor is the one that uses Pillow."""
    processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    return torch.cat([processor(Image.open(path), return_tensors="pt")["pixel_values"] for path in paths])


def siglip(dtype, tokenizer, resample=3, size=48, form="safetensors"):
    def make(folder):
        vocabulary, encode = write_tokenizer(folder, tokenizer())
        vision, text = siglip_configs(vocabulary, size)
        config = transformers.SiglipConfig(vision_config=vision, text_config=text)
        model = randomize(transformers.SiglipModel(config), 21).to(dtype)
        write_processor(folder, size, resample)
        if form == "safetensors":
            model.save_pretrained(folder)
        else:
            model.config.save_pretrained(folder)
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        model = model.float()

        def images(paths):
            with torch.no_grad():
                return unit(feature(model.get_image_features(pixel_values=processed(folder, paths))))

        def texts(lines):
            with torch.no_grad():
                return unit(feature(model.get_text_features(input_ids=encode(lines))))

        return Source(folder, images, texts, encode=encode)

    return make


def siglip_vision(folder):
    config = transformers.SiglipVisionConfig(**siglip_configs(0, 48)[0])
    model = randomize(transformers.SiglipVisionModel(config), 22)
    write_processor(folder, 48, 2)
    model.save_pretrained(folder)

    def images(paths):
        with torch.no_grad():
            return unit(model(processed(folder, paths)).pooler_output)

    return Source(folder, images, None)


def siglip_text(folder):
    vocabulary, encode = write_tokenizer(folder, unigram())
    model = randomize(transformers.SiglipTextModel(transformers.SiglipTextConfig(**siglip_configs(vocabulary, 48)[1])), 23)
    model.save_pretrained(folder)

    def texts(lines):
        with torch.no_grad():
            return unit(model(input_ids=encode(lines)).pooler_output)

    return Source(folder, None, texts, encode=encode)


# ---- open_clip ----

RULE = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


def open_clip_siglip(dtype, write, timm_name, size, tanh):
    """timm's whole image tower, as its name says, beside a small text tower."""
    def make(folder):
        vocabulary, encode = write_tokenizer(folder, open_clip_unigram())
        text = {"context_length": CONTEXT, "vocab_size": vocabulary, "hf_tokenizer_name": "a name",
                "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 64, "heads": 4, "layers": 2,
                "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
        if tanh:
            text["act_kwargs"] = {"approximate": "tanh"}
        config = {"embed_dim": 768, "init_logit_bias": -10, "custom_text": True,
                  "vision_cfg": {"image_size": size, "timm_model_name": timm_name, "timm_model_pretrained": False,
                                 "timm_pool": "map", "timm_proj": "none"}, "text_cfg": text}
        keywords = {key: value for key, value in config.items() if key != "custom_text"}
        model = randomize(open_clip.CustomTextCLIP(**json.loads(json.dumps(keywords))), 24).to(dtype)
        path = write(model.state_dict(), folder)
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": RULE}))
        model = model.float()
        transform = open_clip.image_transform(size, is_train=False, **RULE)

        def images(paths):
            with torch.no_grad():
                return unit(model.encode_image(torch.stack([transform(Image.open(path)) for path in paths])))

        def texts(lines):
            with torch.no_grad():
                return unit(model.encode_text(encode(lines)))

        return Source(path, images, texts, encode=encode)

    return make


# ---- graphs ----

def siglip_modules(attention, activation="gelu_pytorch_tanh"):
    """A vocabulary of the tokenizer that is written beside the graphs."""
    vocabulary = unigram()[0].get_vocab_size()
    vision, text = siglip_configs(vocabulary, 48)
    config = transformers.SiglipConfig(vision_config=dict(vision, hidden_act=activation),
                                       text_config=dict(text, hidden_act=activation))
    model = randomize(transformers.SiglipModel._from_config(config, attn_implementation=attention), 25)
    return (onnx_graphs.Calls(model, lambda m, x: feature(m.get_image_features(pixel_values=x))),
            onnx_graphs.Calls(model, lambda m, x: feature(m.get_text_features(input_ids=x))), 48)


def open_clip_modules():
    vocabulary = unigram()[0].get_vocab_size()
    text = {"context_length": CONTEXT, "vocab_size": vocabulary, "width": 64, "heads": 4, "layers": 2,
            "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
    vision = {"image_size": 48, "timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False,
              "timm_pool": "map", "timm_proj": "none"}
    with families.small_timm({"img_size": 48, "embed_dim": 96, "depth": 2, "num_heads": 12}):
        model = randomize(open_clip.CustomTextCLIP(embed_dim=96, vision_cfg=vision, text_cfg=text), 26)
    return (onnx_graphs.Calls(model, lambda m, x: m.encode_image(x)),
            onnx_graphs.Calls(model, lambda m, x: m.encode_text(x)), 48)


def graphs(make_modules, how):
    """Without metadata pixels are SigLIP's: squashed, half a unit around zero."""
    def make(folder):
        _, encode = write_tokenizer(folder, unigram())
        visual, textual, size = make_modules()
        items = 2 if how.batch else 1
        ids = torch.ones(items, CONTEXT, dtype=torch.int64)
        onnx_graphs.export(visual, torch.zeros(items, 3, size, size), folder / onnx_graphs.FILES[0], how)
        onnx_graphs.export(textual, ids, folder / onnx_graphs.FILES[1], how)
        transform = open_clip.image_transform(size, is_train=False, **RULE)

        def images(paths):
            with torch.no_grad():
                return unit(torch.cat([visual(transform(Image.open(path))[None]) for path in paths]))

        def texts(lines):
            with torch.no_grad():
                return unit(textual(encode(lines)))

        return Source(folder, images, texts, encode=encode)

    return make


def graph_case(family, make_modules, **keywords):
    how = onnx_graphs.How(**keywords)
    return Case(family, onnx_graphs.describe(how), "fp32", graphs(make_modules, how), directory=False)


# How open_clip cleans texts its config alone says, which lies beside no graph.
SIGLIP = "transformers SiglipModel"
CASES = [
    Case(SIGLIP + ", unigram tokenizer", "safetensors", "fp32", siglip(torch.float32, unigram)),
    Case(SIGLIP + ", unigram tokenizer", "safetensors", "fp16", siglip(torch.float16, unigram, resample=2)),
    Case(SIGLIP + ", unigram tokenizer", "pytorch_model.bin", "bf16", siglip(torch.bfloat16, unigram, form="bin")),
    Case(SIGLIP + ", SigLIP 2's tokenizer", "safetensors", "fp32", siglip(torch.float32, gemma(False), resample=2)),
    Case(SIGLIP + ", SigLIP 2's tokenizer", "safetensors", "fp16", siglip(torch.float16, gemma(True), size=64)),
    Case(SIGLIP + ", spiece.model", "safetensors", "fp32",
         siglip(torch.float32, of_sentencepiece("unigram.model", "spiece.model", "SiglipTokenizer"))),
    Case(SIGLIP + ", tokenizer.model", "safetensors", "fp32",
         siglip(torch.float32, of_sentencepiece("pairs.model", "tokenizer.model", "GemmaTokenizer", padding_side="right",
                                                pad_token="<pad>", add_bos_token=False, add_eos_token=True))),
    Case("transformers SiglipVisionModel", "safetensors", "fp32", siglip_vision),
    Case("transformers SiglipTextModel", "safetensors", "fp32", siglip_text),
    Case("open_clip, ViT-B-16-SigLIP's image tower", "safetensors", "fp32",
         open_clip_siglip(torch.float32, write_open_clip_safetensors, "vit_base_patch16_siglip_224", 224, False), graphs=False),
    Case("open_clip, ViT-B-32-SigLIP2-256's image tower", "state dict .bin", "bf16",
         open_clip_siglip(torch.bfloat16, write_open_clip_bin, "vit_base_patch32_siglip_256", 256, True), graphs=False),
    *(graph_case(SIGLIP + ", eager", lambda: siglip_modules("eager"), opset=opset) for opset in (14, 17)),
    graph_case(SIGLIP + ", eager", lambda: siglip_modules("eager"), opset=14, fold=False),
    graph_case(SIGLIP + ", eager", lambda: siglip_modules("eager"), opset=14, batch=False),
    *(graph_case(SIGLIP + ", sdpa", lambda: siglip_modules("sdpa", "gelu"), opset=opset) for opset in (14, 17)),
    graph_case(SIGLIP + ", sdpa", lambda: siglip_modules("sdpa"), opset=18, dynamo=True),
    *(graph_case("open_clip, SigLIP", open_clip_modules, opset=opset) for opset in (14, 17)),
    graph_case("open_clip, SigLIP", open_clip_modules, opset=18, dynamo=True),
]
