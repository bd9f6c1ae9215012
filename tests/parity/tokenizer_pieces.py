"""Compares the ids of clipc's unigram and byte-fallback tokenizers with the tokenizers package's, on models trained here.
Usage: tokenizer_pieces.py TOKENIZER_IDS [--seed N]"""
import argparse
import functools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pieces_reference as reference
import tokenizer_differential as differential
import tokenizer_texts
from tokenizers import AddedToken, Regex, normalizers, pre_tokenizers

MARK = reference.MARK
SPECIAL = ["<pad>", "</s>", "<unk>", "<eos>", "<bos>", "<mask>", "<unused0>", "<0x41>", "\n", "\n\n", MARK, MARK * 2,
           MARK * 3, "</S>", "<UNK>", "<unk", "x</s>", " </s> ", "<unk>\u2603", "</s></s>", "_", "a_b", "CAT", "cat"]


@functools.lru_cache(None)
def all_texts(seed):
    return tokenizer_texts.all_texts(seed)


def texts_for(seed, step):
    generator = random.Random(seed)
    texts = all_texts(seed)[::step]
    texts += [a + b + c for a in ("", "x", "!", " ", "  ", "\u2603", MARK) for b in SPECIAL
              for c in ("", "x", " ", "  y", "\u0301", "\u2603", MARK)]
    words = SPECIAL + tokenizer_texts.WORDS + [" ", "  ", "   ", "\t", "\r\n", MARK, "\u2603", "\U0001f468\u200d\U0001f469",
                                               "\uff21\u0301", "\xa0\u0301", "\ufb01\u0301", "\x01", "\u03a3", "\u0391\u03a3.", "\xad"]
    texts += ["".join(generator.choices(words, k=generator.randint(1, 12))) for _ in range(6000)]
    texts += ["", " ", "  ", "\u3000", "!!!", "...", "\x01", "\x01a", "\u0301a", "\u2603" * 300, MARK * 40, "a " * 300]
    return texts


def run(program, folder, texts, limit, options):
    packed = b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts))
    out = subprocess.run([program, folder, str(limit), *options], input=packed, stdout=subprocess.PIPE, check=True).stdout
    at = 0
    for _ in texts:
        count, = struct.unpack_from("<I", out, at)
        yield list(struct.unpack_from(f"<{count}i", out, at + 4))
        at += 4 + 4 * count
    assert at == len(out)


class Comparison:
    def __init__(self, program, seed):
        self.program = program
        self.seed = seed
        self.wrong = 0
        self.texts = 0

    def compare(self, name, tokenizer, files, step=53, limit=differential.NO_LIMIT, options=(), before=None, pad=None,
                texts=None):
        """`before` cleans the reference's text; pad: (id, left)."""
        texts = texts_for(self.seed, step) if texts is None else texts
        if "tokenizer_class" not in files.get("tokenizer_config.json", {}):
            tokenizer = tokenizer.from_str(files["tokenizer.json"])  # scores as the package reads them
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if limit != differential.NO_LIMIT:
            tokenizer.enable_truncation(limit)
        if pad:
            tokenizer.enable_padding(direction="left" if pad[1] else "right", pad_id=pad[0], pad_token="pad", length=limit)
            options = (*options, "--padded")
        theirs = tokenizer.encode_batch([before(text) for text in texts] if before else texts)
        wrong = 0
        with tempfile.TemporaryDirectory() as folder:
            differential.write_directory(folder, files)
            for text, encoding, ids in zip(texts, theirs, run(self.program, folder, texts, limit, options)):
                if encoding.ids != ids:
                    wrong += 1
                    if wrong <= 5:
                        print(f"{name}: {text[:120]!r}\n  tokenizers {encoding.ids[:40]}\n  clipc      {ids[:40]}")
        print(f"{name}: {len(texts)} texts, {wrong} differ", flush=True)
        self.wrong += wrong
        self.texts += len(texts)


def known_to_python(texts):
    """Lower case is Python's there, and its Unicode may be older than the package's."""
    return [text for text in texts if all(unicodedata.category(c) != "Cn" for c in text)]


def unigrams(check):
    vocabulary = reference.train_unigram(1500)
    map_bytes = reference.small_charsmap()
    metaspace = pre_tokenizers.Metaspace(MARK, "always")
    plain = reference.unigram(vocabulary, None, metaspace)
    check.compare("unigram", plain, {"tokenizer.json": plain.to_str()}, step=5)
    check.compare("unigram, packed, cut to 64", plain, {"tokenizer.json": plain.to_str()}, limit=64, options=["--packed"])
    check.compare("unigram, cut to 3", plain, {"tokenizer.json": plain.to_str()}, limit=3)
    for scheme, split in (("always", False), ("first", True), ("first", False), ("never", True), ("never", False)):
        tokenizer = reference.unigram(vocabulary, reference.spm_normalizer(map_bytes),
                                      pre_tokenizers.Metaspace(MARK, scheme, split), strips=split)
        check.compare(f"charsmap, {scheme}, {'split' if split else 'whole'}", tokenizer,
                      {"tokenizer.json": tokenizer.to_str()})
    tokenizer = reference.unigram(vocabulary, reference.spm_normalizer(map_bytes), metaspace)
    check.compare("charsmap, many texts", tokenizer, {"tokenizer.json": tokenizer.to_str()}, step=3)
    tokenizer = reference.unigram(vocabulary, normalizers.Sequence([normalizers.Replace(" ", MARK)]))
    check.compare("no pre_tokenizer", tokenizer, {"tokenizer.json": tokenizer.to_str()})
    tokenizer = reference.unigram(vocabulary, reference.canonical_normalizer(), metaspace)
    check.compare("canonical steps", tokenizer, {"tokenizer.json": tokenizer.to_str()}, step=7)
    check.compare("canonical steps, padded with </s>", tokenizer, {
        "tokenizer.json": tokenizer.to_str(),
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "</s>", "eos_token": "</s>",
                                  "unk_token": "<unk>", "model_max_length": 64}}, limit=64, pad=(1, False))
    tokenizer = reference.unigram(vocabulary, normalizers.Lowercase(), metaspace)
    tokenizer.add_tokens([AddedToken("Red Blue", normalized=True), AddedToken("photo", normalized=True, lstrip=True),
                          AddedToken("of", normalized=False, rstrip=True), AddedToken(" a", normalized=False)])
    check.compare("more added tokens", tokenizer, {"tokenizer.json": tokenizer.to_str()})
    without = [entry for entry in vocabulary if not entry[0].startswith("<0x")]
    bytes_too = without + [(name, 0.0) for name in reference.BYTES]
    tokenizer = reference.unigram(bytes_too, None, metaspace, fallback=True)
    check.compare("byte fallback", tokenizer, {"tokenizer.json": tokenizer.to_str()}, step=7)
    some = without + [(name, -3.0) for name in reference.BYTES[:0xC8]]
    tokenizer = reference.unigram(some, None, metaspace, fallback=True)
    check.compare("some bytes only", tokenizer, {"tokenizer.json": tokenizer.to_str()})
    check.compare("tokens of equal score", *equal_scores(metaspace), texts=letters(check.seed))
    return vocabulary, map_bytes


def equal_scores(metaspace):
    generator = random.Random(3)
    tokens = {"".join(generator.choices("abc", k=generator.randint(1, 4))) for _ in range(60)} | set("abc")
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (MARK, -2.0)]
    vocabulary += [(token, -round(len(token) * 1.1 + 0.1, 1)) for token in sorted(tokens)]
    tokenizer = reference.unigram(vocabulary, None, metaspace)
    return tokenizer, {"tokenizer.json": tokenizer.to_str()}


def letters(seed):
    generator = random.Random(seed)
    return ["".join(generator.choices("abc d", k=generator.randint(1, 60))) for _ in range(4000)]


def t5_and_siglip(check, vocabulary, map_bytes):
    """Classes that overrule what tokenizer.json says."""
    old = reference.unigram(vocabulary, reference.spm_normalizer(map_bytes), pre_tokenizers.Metaspace(MARK, "first"))
    tokenizer = reference.t5(vocabulary, map_bytes)
    config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>", "model_max_length": 64}
    files = {"tokenizer.json": old.to_str(), "tokenizer_config.json": config}
    check.compare("T5Tokenizer", tokenizer, files)
    cleaned = known_to_python(texts_for(check.seed, 11))
    check.compare("T5Tokenizer, canonicalize, padded to 64", tokenizer, files, limit=64, pad=(1, False), texts=cleaned,
                  options=["--clean", "canonicalize"], before=lambda text: reference.clean(text, "canonicalize"))
    for kind in ("whitespace", "lower"):
        check.compare(f"T5Tokenizer, {kind}", tokenizer, files, texts=cleaned[::5], options=["--clean", kind],
                      before=lambda text, kind=kind: reference.clean(text, kind))
    plain = reference.unigram(vocabulary, normalizers.Precompiled(map_bytes), pre_tokenizers.Metaspace(MARK, "always"),
                              special=[])
    without_special = [text for text in cleaned if not any(s in text for s in ("</s>", "<unk>", "<pad>"))]
    for lower in (True, False):
        config = {"tokenizer_class": "SiglipTokenizer", "do_lower_case": lower, "model_max_length": 64}
        check.compare(f"SiglipTokenizer, do_lower_case {lower}", plain,
                      {"tokenizer.json": plain.to_str(), "tokenizer_config.json": config}, limit=64, pad=(1, False),
                      texts=without_special, before=lambda text, lower=lower: reference.canonicalize_siglip(text, lower))


def byte_pairs(check):
    vocabulary, merges = reference.train_pairs(2500)
    added = reference.gemma_added()
    as_is = reference.gemma(vocabulary, merges, False, added)
    text = as_is.to_str()
    check.compare("byte pairs", as_is, {"tokenizer.json": text}, step=5)
    check.compare("byte pairs, packed, cut to 64", as_is, {"tokenizer.json": text}, limit=64,
                  options=["--packed"])
    config = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>",
              "mask_token": "<mask>", "add_bos_token": False, "add_eos_token": True}
    lower = reference.gemma(vocabulary, merges, True, added)
    for name, tokenizer, more, options in (
            ("GemmaTokenizer", as_is, {"tokenizer_class": "GemmaTokenizer", "padding_side": "right"}, []),
            ("GemmaTokenizer of siglip2", lower, {"tokenizer_class": "GemmaTokenizerFast", "padding_side": "right"},
             ["--model-type", "siglip2"]),
            ("Siglip2Tokenizer, padded on the left", lower, {"tokenizer_class": "Siglip2Tokenizer"}, [])):
        check.compare(name, tokenizer, {"tokenizer.json": text, "tokenizer_config.json": {**config, **more}},
                      limit=64, pad=(0, "padding_side" not in more), options=options)
    cleaned = known_to_python(texts_for(check.seed, 29))
    check.compare("GemmaTokenizer, canonicalize", as_is, {
        "tokenizer.json": text, "tokenizer_config.json": {**config, "tokenizer_class": "GemmaTokenizer",
                                                                    "padding_side": "right"}},
                  limit=64, pad=(0, False), texts=cleaned, options=["--clean", "canonicalize"],
                  before=lambda text: reference.clean(text, "canonicalize"))
    plain = reference.gemma(vocabulary, merges, False, added, ends=False)
    check.compare("nothing at the ends", plain, {"tokenizer.json": plain.to_str()})
    variants(check, vocabulary, merges, added)


def variants(check, vocabulary, merges, added):
    """Models that lack bytes, the mark, or have tokens across words."""
    def tokenizer_of(names, some_merges, **changes):
        known = {name: i for i, name in enumerate(names)}
        tokenizer = reference.gemma(known, some_merges, False, [])
        text = json.loads(tokenizer.to_str())
        text["model"].update(changes)
        return tokenizer.from_str(json.dumps(text)), {"tokenizer.json": json.dumps(text)}

    names = list(vocabulary)
    few = [name for name in names if name not in reference.BYTES[0x80:]]
    check.compare("half of the bytes", *tokenizer_of(few, merges))
    check.compare("half of the bytes, unknown not fused", *tokenizer_of(few, merges, fuse_unk=False))
    crossing = names + ["a" + MARK, MARK + "a" + MARK]
    across = [("a", MARK)] + merges + [(MARK + "a", MARK)] if MARK + "a" in vocabulary else [("a", MARK)] + merges
    check.compare("tokens across words", *tokenizer_of(crossing, across))
    check.compare("no unknown token", *tokenizer_of([n for n in few if n != "<unk>"], merges, unk_token=None))
    without_mark = [name for name in names if MARK not in name]
    check.compare("no mark", *tokenizer_of(without_mark, [m for m in merges if MARK not in "".join(m)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    check = Comparison(arguments.program, arguments.seed)
    vocabulary, map_bytes = unigrams(check)
    t5_and_siglip(check, vocabulary, map_bytes)
    byte_pairs(check)
    print(f"{check.texts} texts in all, {check.wrong} differ")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
