"""Embeds the same images and texts with clipc and with the library each model belongs to, and compares.

    interop.py CLIPC [--large] [--write docs/formats.md] [--only WORD] [--keep FILE]

Every family and format is saved by the library's own code with random weights. Fails when a component of a unit
embedding differs by more than the limit, or when what clipc converts a model to gives other embeddings than the model
itself: an engine file, graphs made of that, and directories must give the same ones, bit for bit. --write puts the table
of what was compared into the document, between its marks, when everything agrees. --keep FILE holds the rows of cases
that agreed, and a run that ended early goes on after them; a program of other bytes, or other scripts, begin anew.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy
from PIL import Image

warnings.filterwarnings("ignore")
import families  # noqa: E402
import onnx_graphs  # noqa: E402
import siglip_sources  # noqa: E402
import sources  # noqa: E402
import table  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ["a photo of a cat", "a red square, two green triangles & a dog's house", "1234567890", "", "naïve café 東京 🙂",
         "a long text that goes on and on " * 12, "what!?#! a!b!!?", "!~" * 60]


def image_files():
    """The demo's samples, and small files of other modes than RGB."""
    files = sorted((ROOT / "models" / "demo" / "samples").glob("*.png"))[:6]
    for path in sorted((ROOT / "tests" / "unit" / "images").iterdir()):
        try:
            image = Image.open(path)
            image.load()
        except OSError:
            continue
        if image.mode in MODES:
            files.append(path)
    return files


MODES = ["1", "L", "LA", "P", "RGBA", "CMYK"]


def embed(clipc, source, arguments, folder, model=None):
    out = folder / "out.npy"
    command = [clipc, "embed", *arguments, "-o", str(out), "--model", str(model or source.path), "--precision", "fp32",
               "--quiet", *(() if model else source.options)]
    subprocess.run(command, check=True)
    return numpy.load(out)


def compare(clipc, source, images, folder, model=None):
    """The largest difference of a component: of images, of texts; None where the model has no such tower."""
    differences = []
    for library, inputs, arguments in ((source.images, images, ["image", *map(str, images)]),
                                       (source.texts, TEXTS, ["text", *TEXTS])):
        if not library:
            differences.append(None)
            continue
        expected = library(inputs)
        differences.append(float(numpy.abs(embed(clipc, source, arguments, folder, model) - expected).max()))
    return differences


def run_case(clipc, case, images):
    """Rows of the table: the source itself, and what clipc converts it to."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        folder, made = pathlib.Path(name), pathlib.Path(other)
        source = case.make(folder)
        rows = [(case.family, case.format, case.precision, compare(clipc, source, images, folder))]
        engine = made / "converted.clipc"
        convert(clipc, source, engine, "--precision", "fp32")
        check_same(clipc, source, images, folder, engine)
        rows.append((case.family, f"{case.format} → engine file", case.precision,
                     compare(clipc, source, images, folder, engine)))
        if case.graphs:
            graphs = export(clipc, source, engine, made / "graphs")
            check_same(clipc, source, images, folder, graphs)
            rows.append((case.family, f"{case.format} → engine file → ONNX graphs", case.precision,
                         compare(clipc, source, images, folder, graphs)))
        resnet = "ResNet" in case.family or "RN50" in case.family  # which transformers does not have
        if not case.directory or resnet:
            return rows
        directory = made / "converted"
        convert(clipc, source, f"{directory}/")
        check_same(clipc, source, images, folder, directory)
        unpacked = made / "unpacked"
        convert(clipc, engine, f"{unpacked}/")
        check_same(clipc, source, images, folder, unpacked)
        rows.append((case.family, f"{case.format} → directory, by transformers", case.precision,
                     compare_transformers(clipc, source, images, folder, directory)))
    return rows


def convert(clipc, source, target, *arguments):
    path, options = (source.path, source.options) if isinstance(source, sources.Source) else (source, ())
    subprocess.run([clipc, "convert", str(path), str(target), "--quiet", *options, *arguments], check=True)


def export(clipc, source, model, target):
    """Graphs of what towers there are; a tokenizer that is not CLIP's must lie beside them."""
    tower = [] if source.images and source.texts else ["--visual-only" if source.images else "--textual-only"]
    subprocess.run([clipc, "export-onnx", "--model", str(model), "--out-dir", str(target), "--quiet", *tower],
                   check=True)
    beside = source.path if source.path.is_dir() else source.path.parent
    for name in ("tokenizer.json", "spiece.model", "tokenizer.model", "tokenizer_config.json"):
        if (beside / name).exists():
            shutil.copy(beside / name, target / name)
    config = beside / "open_clip_config.json"
    text = json.loads(config.read_text())["model_cfg"].get("text_cfg", {}) if config.exists() else {}
    if "hf_tokenizer_name" in text:
        cleaning = text.get("tokenizer_kwargs", {}).get("clean", "whitespace")
        (target / "clipc.json").write_text(json.dumps({"text_cleaning": cleaning}))
    return target


def check_same(clipc, source, images, folder, model):
    """What was written gives the first load's embeddings, bit for bit."""
    for library, arguments in ((source.images, ["image", *map(str, images)]), (source.texts, ["text", *TEXTS])):
        if library and not numpy.array_equal(embed(clipc, source, arguments, folder),
                                             embed(clipc, source, arguments, folder, model)):
            sys.exit(f"{model}: embeddings of {arguments[0]}s are not those of {source.path}")


def compare_transformers(clipc, source, images, folder, model):
    """The model and the tokenizer of the directory as transformers loads them, on the pixels that clipc makes, with the
    embeddings of the library that the weights came from."""
    of_pixels, of_texts = sources.load_directory(model, source.encode)
    image_rows = source.images and of_pixels(pixels_of(clipc, images, folder, model)) - source.images(images)
    text_rows = source.texts and of_texts(TEXTS) - source.texts(TEXTS)
    return [None if rows is None else float(numpy.abs(rows).max()) for rows in (image_rows, text_rows)]


def pixels_of(clipc, images, folder, model):
    out = folder / "pixels.npy"
    subprocess.run([clipc, "preprocess", *map(str, images), "-o", str(out), "--model", str(model), "--quiet"], check=True)
    return numpy.load(out)


class Kept:
    """Rows of earlier runs of the same program by the same scripts."""

    def __init__(self, clipc, path):
        digest = hashlib.sha256()
        scripts = [path for path in sorted(pathlib.Path(__file__).parent.glob("*.py")) if path.name != "table.py"]
        for file in [pathlib.Path(clipc), *scripts]:
            digest.update(file.read_bytes())
        self.path, self.digest, self.cases = path, digest.hexdigest(), {}
        if path and path.exists():
            kept = json.loads(path.read_text())
            self.cases = kept["cases"] if kept["program"] == self.digest else {}

    def rows(self, key, run):
        if key not in self.cases:
            self.cases[key] = run()
            if self.path and agrees(self.cases[key]):
                self.path.write_text(json.dumps({"program": self.digest, "cases": self.cases}))
        return self.cases[key]


def agrees(rows):
    return all(number is None or number <= table.LIMIT for row in rows for number in row[3])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("clipc")
    parser.add_argument("--write", type=pathlib.Path, metavar="DOCUMENT")
    parser.add_argument("--only", default="")
    parser.add_argument("--large", action="store_true", help="a model of ViT-B/32's size, too")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    images = image_files()
    rows = []
    kept = Kept(arguments.clipc, arguments.keep)
    everything = sources.CASES + families.CASES + onnx_graphs.CASES + siglip_sources.CASES
    for number, case in enumerate(everything + (sources.LARGE if arguments.large else [])):
        if arguments.only not in f"{case.family} {case.format} {case.precision}":
            continue
        key = f"{number} {case.family} {case.format} {case.precision}"
        for row in kept.rows(key, lambda: run_case(arguments.clipc, case, images)):
            rows.append(row)
            family, form, precision, differences = row
            numbers = "  ".join("-      " if number is None else f"{number:.1e}" for number in differences)
            print(f"{numbers}  {family}: {form}, {precision}", flush=True)
    good = agrees(rows)
    print("all within 2e-5" if good else "DIFFERENT")
    if good and arguments.write:
        table.write_table(arguments.write, rows)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
