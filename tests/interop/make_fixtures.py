"""Makes the small files that the tests keep in the tree:  make_fixtures.py ROOT

ROOT/golden/models/openai_archive, openai_resnet, open_clip and open_clip_resnet: models with what their libraries make of random inputs.
ROOT/unit/torch: files of torch.save and torch.jit.save for the reader's own tests.
"""
import argparse
import collections
import json
import pathlib
import sys
import warnings
import zipfile

warnings.filterwarnings("ignore")
import clip.model  # noqa: E402
import numpy  # noqa: E402
import open_clip  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

import sources  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "parity"))
import golden_models  # noqa: E402

CONTEXT = 9


def expect(model, size, vocabulary, random, directory):
    """Texts are padded to the context, as both libraries' tokenizers do; the largest id is the pooled token."""
    pixels = random.standard_normal((3, 3, size, size)).astype(numpy.float32)
    sequences = [random.randint(1, vocabulary - 2, size=2 + i).astype(numpy.int32) for i in range(CONTEXT - 1)]
    for ids in sequences:
        ids[-1] = vocabulary - 1
    padded = torch.zeros(len(sequences), CONTEXT, dtype=torch.int64)
    for row, ids in zip(padded, sequences):
        row[: len(ids)] = torch.from_numpy(ids)
    with torch.no_grad():
        image = model.encode_image(torch.from_numpy(pixels)).float()
        text = model.encode_text(padded).float()
    offsets = numpy.cumsum([0] + [len(ids) for ids in sequences])
    expected = {"pixel_values": torch.from_numpy(pixels), "input_ids": torch.from_numpy(numpy.concatenate(sequences)),
                "offsets": torch.from_numpy(offsets.astype(numpy.int64)),
                "image_embeds": image / image.norm(dim=-1, keepdim=True),
                "text_embeds": text / text.norm(dim=-1, keepdim=True)}
    save_file({name: tensor.contiguous() for name, tensor in expected.items()}, directory / "expected.safetensors")


def make_openai(directory, size, layers, width, patch_size, seed):
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = golden_models.write_tokenizer(directory)
    model = sources.randomize(clip.model.CLIP(
        embed_dim=20, image_resolution=size, vision_layers=layers, vision_width=width, vision_patch_size=patch_size,
        context_length=CONTEXT, vocab_size=vocabulary, transformer_width=64, transformer_heads=1,
        transformer_layers=1), seed)
    pixels, ids = torch.zeros(1, 3, size, size), torch.zeros(1, CONTEXT, dtype=torch.int64)
    clip.model.convert_weights(model)
    model.float()  # the values that fp16 holds
    script = torch.jit.trace_module(model, {"forward": (pixels, ids), "encode_image": (pixels,), "encode_text": (ids,)})
    torch.jit.save(sources.half_of_script(script), str(directory / "model.pt"))
    shrink(directory / "model.pt")
    model.float()  # its parameters are the archive's
    expect(model, size, vocabulary, numpy.random.RandomState(seed + 1), directory)


def shrink(path):
    """Without the traced code, which clipc does not look at."""
    entries = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if "/code/" not in info.filename:
                entries[info.filename] = archive.read(info)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data)


PATCHES = {"image_size": 15, "layers": 2, "width": 24, "head_width": 8, "patch_size": 5, "norm_kwargs": {"eps": 1e-6}}
# A stem of one channel.
BLOCKS = {"image_size": 32, "layers": [1, 1, 2, 1], "width": 3, "head_width": 24, "patch_size": None}


def make_open_clip(directory, vision, seed):
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = golden_models.write_tokenizer(directory)
    config = {"embed_dim": 12,
              "vision_cfg": vision,
              "text_cfg": {"context_length": CONTEXT, "vocab_size": vocabulary, "width": 20, "heads": 5, "layers": 2}}
    model = sources.randomize(open_clip.CLIP(**config), seed)
    torch.save(model.state_dict(), directory / "open_clip_pytorch_model.bin")
    rule = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear", "resize_mode": "squash"}
    (directory / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": rule}, indent=1) + "\n")
    expect(model, vision["image_size"], vocabulary, numpy.random.RandomState(seed + 1), directory)


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).half())
        self.register_buffer("steps", torch.tensor(7))

    def forward(self, x):
        return x + self.weight.float().sum()


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.Sequential(Inner(), Inner())
        self.bias = torch.nn.Parameter(torch.tensor([5.0, 6.0]))
        self.names = ["a", "b"]

    def forward(self, x):
        return self.blocks(x) + self.bias


class Stranger:
    """A class that no reader of weights should run."""


def state():
    whole = torch.arange(1.0, 7.0).reshape(2, 3)
    return collections.OrderedDict(
        plain=whole, transposed=whole.t(), row=whole[1], half=torch.tensor([0.5, -2.0]).half(),
        bfloat=torch.tensor([1.5]).bfloat16(), scalar=torch.tensor(9), parameter=torch.nn.Parameter(torch.ones(2)),
        nothing=torch.zeros(0, 4))


def make_torch_files(directory):
    directory.mkdir(parents=True, exist_ok=True)
    torch.save(state(), directory / "state.pt")
    torch.save(state(), directory / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(state(), directory / "protocol4.pt", pickle_protocol=4)
    torch.jit.save(torch.jit.script(Outer().eval()), str(directory / "script.pt"))
    shrink(directory / "script.pt")
    inner = {"module." + name: tensor for name, tensor in state().items()}
    torch.save({"epoch": 3, "lr": 1e-3, "betas": (0.9, 0.98), "done": True, "big": 1 << 80, "none": None,
                "state_dict": inner, "list": [torch.zeros(1), "text"]}, directory / "checkpoint.pt")
    parts = ("_image_encoder.module.", "_text_encoder.", "image_encoder_without_ddp.", "_logit_scale.module.")
    tiny = {parts[i % len(parts)] + name: tensor for i, (name, tensor) in enumerate(state().items())}
    torch.save({"epoch": 3, "state_dict": tiny}, directory / "tinyclip.pt")
    torch.save({"_image_encoder.l0_module.lambda_1": torch.zeros(1)}, directory / "tinyclip_masks.pt")
    torch.save({"a": torch.zeros(1).expand(1 << 20)}, directory / "expanded.pt")
    torch.save({"a": torch.zeros(1), "b": Stranger()}, directory / "stranger.pt")
    torch.save({"a": torch.zeros(1), "b": numpy.float64(1.0)}, directory / "numpy.pt")
    torch.save([1, 2, 3], directory / "list.pt")
    with zipfile.ZipFile(directory / "state.pt") as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    for name, limit, compression in (("zip64.pt", 0, zipfile.ZIP_STORED), ("deflated.pt", 1 << 31, zipfile.ZIP_DEFLATED)):
        zipfile.ZIP64_LIMIT = limit
        with zipfile.ZipFile(directory / name, "w", compression) as archive:
            for entry, data in entries.items():
                info = zipfile.ZipInfo(entry)
                info.compress_type = compression
                archive.writestr(info, data)
    zipfile.ZIP64_LIMIT = (1 << 31) - 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=pathlib.Path)
    root = parser.parse_args().root
    torch.set_num_threads(1)
    models = root / "golden" / "models"
    make_openai(models / "openai_archive", 16, 1, 64, 8, 11)
    make_openai(models / "openai_resnet", 64, (1, 2, 1, 1), 4, None, 15)
    make_open_clip(models / "open_clip", PATCHES, 13)
    make_open_clip(models / "open_clip_resnet", BLOCKS, 17)
    make_torch_files(root / "unit" / "torch")
    for path in root.glob("golden/models/open*/*"):
        path.chmod(0o644)


if __name__ == "__main__":
    main()
