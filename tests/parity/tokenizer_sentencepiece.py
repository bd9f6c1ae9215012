"""Compares ids from files of SentencePiece with what transformers makes of the same directory: SiglipTokenizer, which
runs that library, and GemmaTokenizer and Siglip2Tokenizer, which convert its byte pairs. The models are trained here.

    tokenizer_sentencepiece.py TOKENIZER_IDS [--seed N]
    tokenizer_sentencepiece.py --fixtures    writes those of tests/unit/pieces and of the fuzz target
"""
import argparse
import io
import json
import pathlib
import sys
import tempfile
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import make_pieces_fixtures
import pieces_reference as reference
import sentencepiece
import tokenizer_pieces
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LIMIT = 1 << 20
MARK = reference.MARK
SYMBOLS = ["<mask>", "<unused0>", "\n", "\n\n", MARK * 2, MARK * 3]
GEMMA = {"padding_side": "right", "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
         "mask_token": "<mask>", "add_bos_token": False, "add_eos_token": True}


def corpus():
    lines = [line.strip() for path in sorted(DOCS.glob("*.md")) for line in path.read_text().splitlines()]
    return [line for line in lines if line] + reference.corpus()


def train(model, **options):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus()), model_writer=out, model_type=model,
                                             minloglevel=2, pad_id=0, eos_id=1, **options)
    return out.getvalue()


def unigram(**options):
    return train("unigram", **dict({"vocab_size": 900, "unk_id": 2, "bos_id": -1}, **options))


def pairs(**options):
    return train("bpe", **dict({"vocab_size": 1500, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>", "bos_piece": "<bos>",
                                "byte_fallback": True, "add_dummy_prefix": False, "remove_extra_whitespaces": False,
                                "normalization_rule_name": "identity", "user_defined_symbols": SYMBOLS}, **options))


def write(folder, model, config, name="spiece.model"):
    (folder / name).write_bytes(model)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def compare(program, name, seed, model, config, step, file="spiece.model", limit=LIMIT):
    """Texts with characters that Python's Unicode does not know yet are left out, as its lower case is the older one."""
    texts = [text for text in tokenizer_pieces.texts_for(seed, step) if all(unicodedata.category(c) != "Cn" for c in text)]
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write(folder, model, config, file)
        tokenizer = getattr(transformers, config["tokenizer_class"]).from_pretrained(folder)
        cut = {} if limit == LIMIT else {"truncation": True, "max_length": limit}
        ours = tokenizer_pieces.run(program, temporary, texts, limit, [])
        for text, ids in zip(texts, ours):
            theirs = tokenizer(text, **cut).input_ids
            if theirs != ids:
                wrong += 1
                if wrong <= 5:
                    print(f"{name}: {text[:120]!r}\n  transformers {theirs[:40]}\n  clipc        {ids[:40]}")
    print(f"{name}: {len(texts)} texts, {wrong} differ", flush=True)
    return wrong


def small_unigram():
    """With rules for a few blocks alone, as all of NFKC's are 240 KB."""
    points = [*range(0x80, 0x180), *range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07)]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        for point in points:
            mapped = unicodedata.normalize("NFKC", chr(point))
            if mapped != chr(point):
                rules.write(f"{point:X}\t{' '.join(f'{ord(c):X}' for c in mapped)}\n")
        rules.write("65 301\tE9\n")
        rules.flush()
        return unigram(vocab_size=240, normalization_rule_tsv=rules.name)


def write_fixtures():
    """The format of expected.txt: see make_pieces_fixtures.py. The last byte of a seed's kind tells the class."""
    folder, corpus_folder = ROOT / "tests" / "unit" / "pieces", ROOT / "fuzz" / "corpus" / "tokenizer"
    made = [("unigram.model", small_unigram(), {"tokenizer_class": "SiglipTokenizer"}),
            ("pairs.model", pairs(vocab_size=520), dict(GEMMA, tokenizer_class="GemmaTokenizer"))]
    with open(folder / "sentencepiece.txt", "w", encoding="utf-8") as expected:
        for number, (name, model, config) in enumerate(made):
            (folder / name).write_bytes(model)
            (corpus_folder / f"sentencepiece_{name.split('.')[0]}").write_bytes(bytes([15 + number]) + model)
            with tempfile.TemporaryDirectory() as temporary:
                write(pathlib.Path(temporary), model, config, "tokenizer.model" if number else "spiece.model")
                tokenizer = getattr(transformers, config["tokenizer_class"]).from_pretrained(temporary)
                for text in make_pieces_fixtures.TEXTS:
                    ids = " ".join(map(str, tokenizer(text).input_ids))
                    expected.write(f"{name}\t{json.dumps(text, ensure_ascii=False)}\t{ids}\n")


def main():
    if sys.argv[1:] == ["--fixtures"]:
        write_fixtures()
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    siglip = {"tokenizer_class": "SiglipTokenizer"}
    checks = [
        ("SiglipTokenizer, nmt_nfkc", unigram(), siglip, 29),
        ("SiglipTokenizer, many texts", unigram(vocab_size=1200), siglip, 5),
        ("SiglipTokenizer, nmt_nfkc_cf, bytes", unigram(normalization_rule_name="nmt_nfkc_cf", byte_fallback=True), siglip, 53),
        ("SiglipTokenizer, identity", unigram(normalization_rule_name="identity"), siglip, 53),
        ("SiglipTokenizer, no dummy prefix", unigram(add_dummy_prefix=False), siglip, 53),
        ("SiglipTokenizer, not legacy", unigram(), dict(siglip, legacy=False), 53),
        ("SiglipTokenizer, pieces across words", unigram(split_by_whitespace=False), siglip, 53),
        ("GemmaTokenizer", pairs(), dict(GEMMA, tokenizer_class="GemmaTokenizer"), 29, "tokenizer.model"),
        ("GemmaTokenizer, both ends", pairs(split_digits=True),
         dict(GEMMA, tokenizer_class="GemmaTokenizer", add_bos_token=True), 53, "tokenizer.model"),
        ("Siglip2Tokenizer", pairs(), dict(GEMMA, tokenizer_class="Siglip2Tokenizer"), 53, "tokenizer.model"),
    ]
    wrong = sum(compare(arguments.program, name, arguments.seed, *rest) for name, *rest in checks)
    wrong += compare(arguments.program, "SiglipTokenizer, cut to 5", arguments.seed, unigram(), siglip, 53, limit=5)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
