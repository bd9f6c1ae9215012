"""Makes tests/golden/models/coca, clipa, average and eva:  make_family_fixtures.py ROOT

Small models of open_clip's own code with what it makes of random inputs. Texts have the pad token in their midst, too,
and some fill the context: both count where padding is seen.
"""
import json
import pathlib
import sys

import numpy
import open_clip
import torch
from safetensors.torch import save_file

import families
import sources

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import golden_models  # noqa: E402

CONTEXT = 9
TEXT = {"context_length": CONTEXT, "width": 48, "heads": 3, "layers": 2}
MODELS = {
    "coca": {"embed_dim": 24, "custom_text": True,
             "vision_cfg": {"image_size": 24, "patch_size": 6, "layers": 2, "width": 40, "head_width": 8,
                            "attentional_pool": True, "attn_pooler_heads": 3, "attn_pooler_queries": 5,
                            "output_tokens": True},
             "text_cfg": dict(TEXT, embed_cls=True, output_tokens=True),
             "multimodal_cfg": {"context_length": CONTEXT, "width": 48, "heads": 3, "layers": 1}},
    "clipa": {"embed_dim": 20,
              "vision_cfg": {"image_size": 24, "patch_size": 6, "layers": 2, "width": 40, "head_width": 8,
                             "no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
              "text_cfg": dict(TEXT, no_causal_mask=True)},
    "average": {"embed_dim": 20,
                "vision_cfg": {"image_size": 20, "patch_size": 5, "layers": 1, "width": 36, "head_width": 12,
                               "pool_type": "avg", "norm_kwargs": {"eps": 1e-3}},
                "text_cfg": dict(TEXT, no_causal_mask=True, pool_type="first", norm_kwargs={"eps": 1e-3})},
    "eva": {"embed_dim": 20, "custom_text": True,
            "vision_cfg": {"image_size": 28, "timm_model_name": "eva_giant_patch14_224", "timm_model_pretrained": False,
                           "timm_pool": "token", "timm_proj": None},
            "text_cfg": TEXT},
}
EVA = {"img_size": 28, "embed_dim": 64, "depth": 2, "num_heads": 16, "mlp_ratio": 2.5}


def sequences_of(vocabulary, random):
    lengths = list(range(2, CONTEXT + 1)) + [CONTEXT, CONTEXT]
    sequences = [random.randint(1, vocabulary - 2, size=length).astype(numpy.int32) for length in lengths]
    for i, ids in enumerate(sequences):
        ids[-1] = vocabulary - 1
        if i % 2 and len(ids) > 3:
            ids[1 + i % (len(ids) - 2)] = 0
    return sequences


def make(name, config, seed, root):
    directory = pathlib.Path(root) / "golden" / "models" / name
    directory.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(seed)
    vocabulary = golden_models.write_tokenizer(directory)
    config = json.loads(json.dumps(config))
    for section in ("text_cfg", "multimodal_cfg"):
        if section in config:
            config[section]["vocab_size"] = vocabulary
    keywords = {key: value for key, value in json.loads(json.dumps(config)).items() if key != "custom_text"}
    kind = open_clip.CoCa if name == "coca" else open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP
    with families.small_timm(EVA):
        model = sources.randomize(kind(**keywords), seed).half()
    sources.write_open_clip_safetensors(model.state_dict(), directory)
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}, indent=2) + "\n")
    model.float()
    size = config["vision_cfg"]["image_size"]
    pixels = torch.from_numpy(random.standard_normal((3, 3, size, size)).astype(numpy.float32))
    sequences = sequences_of(vocabulary, random)
    padded = torch.zeros(len(sequences), CONTEXT, dtype=torch.int64)
    for row, ids in zip(padded, sequences):
        row[: len(ids)] = torch.from_numpy(ids)
    with torch.no_grad():
        image, text = model.encode_image(pixels), model.encode_text(padded)
    offsets = numpy.cumsum([0] + [len(ids) for ids in sequences])
    expected = {"pixel_values": pixels, "input_ids": torch.from_numpy(numpy.concatenate(sequences)),
                "offsets": torch.from_numpy(offsets.astype(numpy.int64)),
                "image_embeds": torch.nn.functional.normalize(image, dim=-1),
                "text_embeds": torch.nn.functional.normalize(text, dim=-1)}
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, directory / "expected.safetensors")
    for path in directory.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, (name, config) in enumerate(MODELS.items()):
        make(name, config, 50 + seed, sys.argv[1])
