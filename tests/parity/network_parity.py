"""Compares clipc with transformers itself:  network_parity.py GOLDEN_PROGRAM

Makes the committed golden models and the demo model's reference anew and compares them with the files in the tree,
then lets clipc encode with larger models of odd shapes, which are made for the occasion.
"""
import pathlib
import subprocess
import sys
import tempfile

import golden_models
import golden_siglip
import torch
from safetensors.torch import load_file
from transformers import CLIPModel

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Between two builds of PyTorch, whose kernels add up in different orders.
ROUNDING = 2e-6


def compare_tensors(name, committed, anew):
    """Inputs and weights must be the same bits, embeddings the same up to rounding. Returns the largest difference."""
    if committed.keys() != anew.keys():
        sys.exit(f"{name}: tensors {sorted(committed)} became {sorted(anew)}")
    largest = 0.0
    for key, values in committed.items():
        if key in ("image_embeds", "text_embeds"):
            largest = max(largest, (values - anew[key]).abs().max().item())
        elif key in ("image_features", "text_features"):
            torch.testing.assert_close(anew[key], values, rtol=0, atol=ROUNDING * values.abs().max().item())
        elif not torch.equal(values, anew[key]):
            sys.exit(f"{name}: tensor {key} is not what was committed")
    if not largest <= ROUNDING:
        sys.exit(f"{name}: embeddings differ by {largest:.1e} from those committed")
    return largest


def compare_golden(temporary):
    golden_models.make_all(golden_models.SMALL, temporary)
    golden_siglip.make_all(golden_siglip.SMALL, temporary)
    committed = ROOT / "tests" / "golden" / "models"
    # Those of other libraries are made by tests/interop/make_fixtures.py.
    names = sorted(path.relative_to(committed) for path in committed.rglob("*.safetensors")
                   if not path.parent.name.startswith("open"))
    if names != sorted(path.relative_to(temporary) for path in pathlib.Path(temporary).rglob("*.safetensors")):
        sys.exit("the golden models made anew have other files")
    for name in names:
        largest = compare_tensors(str(name), load_file(committed / name), load_file(pathlib.Path(temporary) / name))
        if name.name == "expected.safetensors":
            print(f"{name.parent}: made anew, embeddings within {largest:.1e} of those committed")


def compare_demo():
    demo = ROOT / "models" / "demo"
    want = load_file(demo / "reference.safetensors")
    model = CLIPModel.from_pretrained(demo / "model", dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        made = model(pixel_values=want["pixel_values"], input_ids=want["input_ids"].long())
    largest = max((made[key] - want[key]).abs().max().item() for key in ("image_embeds", "text_embeds"))
    if not largest <= ROUNDING:
        sys.exit(f"demo: embeddings differ by {largest:.1e} from those committed")
    print(f"demo: made anew, embeddings within {largest:.1e} of those committed")


def compare_large(program, temporary):
    golden_models.make_all(golden_models.LARGE, temporary)
    golden_siglip.make_all(golden_siglip.LARGE, temporary)
    models = [str(pathlib.Path(temporary) / shape.name) for shape in golden_models.LARGE + golden_siglip.LARGE]
    subprocess.run([program, *models], check=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        compare_golden(folder)
    compare_demo()
    with tempfile.TemporaryDirectory() as folder:
        compare_large(sys.argv[1], folder)
    print("network parity: everything agrees")
