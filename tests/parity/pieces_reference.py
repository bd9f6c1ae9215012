"""Tokenizers of pieces, trained on the spot with the tokenizers package: unigram models as SigLIP has, byte pairs with
single bytes as a fallback as SigLIP 2 has, and the files that transformers or open_clip write for them. The reference of
each is built as the named class of transformers 5 builds it; pieces_construction.py proves that (make check-parity)."""
import base64
import json
import random
import re
import string
import unicodedata

import charsmap
import tokenizer_texts
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram

MARK = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
GEMMA_SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]


def corpus():
    generator = random.Random(7)
    return [unicodedata.normalize("NFKC", text) for text in tokenizer_texts.captions(generator, 4000)]


def train_unigram(size, lower=True):
    """[(token, score)] with <pad>, </s>, <unk> first, as T5's vocabularies have them."""
    tokenizer = Tokenizer(Unigram())
    steps = [normalizers.Lowercase()] if lower else []
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always")
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return [tuple(entry) for entry in json.loads(tokenizer.to_str())["model"]["vocab"]]


def train_pairs(size, lower=False):
    """Vocabulary and merges: Gemma's special tokens, the bytes, a few added tokens, characters, then merges."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    steps = [normalizers.Lowercase()] if lower else []
    tokenizer.normalizer = normalizers.Sequence(steps + [normalizers.Replace(" ", MARK)])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator([text + "  " + text for text in corpus()], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    names = GEMMA_SPECIAL + ["<unused0>", "\n", "\n\n", MARK * 2, MARK * 3] + BYTES
    names += [token for token in tokens if token not in names]
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    return {name: i for i, name in enumerate(names)}, merges


def small_charsmap():
    code_points = [c for c in range(0x3400) if tokenizer_texts.is_scalar(c)] + list(range(0xF900, 0xFFFE))
    return charsmap.build(charsmap.nfkc_rules(code_points))


def end_template(end, token):
    return processors.TemplateProcessing(single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, token)])


def unigram(vocabulary, normalizer=None, splitting=None, fallback=False, special=("<pad>", "</s>", "<unk>"),
            unknown=2, strips=False):
    tokenizer = Tokenizer(Unigram(vocabulary, unk_id=unknown, byte_fallback=fallback))
    if normalizer:
        tokenizer.normalizer = normalizer
    if splitting:
        tokenizer.pre_tokenizer = splitting
    tokenizer.post_processor = end_template("</s>", 1)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True, lstrip=strips, rstrip=strips)
                                  for text in special])
    return tokenizer


def spm_normalizer(map_bytes):
    """As SpmConverter of transformers 4 wrote it, and as the files of open_clip's SigLIP models have it."""
    return normalizers.Sequence([normalizers.Precompiled(map_bytes), normalizers.Strip(left=False, right=True),
                                 normalizers.Replace(Regex(" {2,}"), MARK)])


def canonical_normalizer():
    """SigLIP's cleaning as steps of a tokenizer.json."""
    return normalizers.Sequence([normalizers.Lowercase(),
                                 normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
                                 normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()])


def t5(vocabulary, map_bytes=None):
    """T5Tokenizer (transformers/models/t5/tokenization_t5.py), without extra ids."""
    tokenizer = unigram(vocabulary, normalizers.Precompiled(map_bytes) if map_bytes else None,
                        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                 pre_tokenizers.Metaspace(MARK, "always", True)]))
    return tokenizer


def xlm_roberta(vocabulary, map_bytes):
    """XLMRobertaTokenizer (transformers/models/xlm_roberta), with the pieces of another vocabulary behind its special
    tokens."""
    pieces = [entry for entry in vocabulary if entry[0] not in ("<pad>", "</s>", "<unk>")]
    names = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(Unigram([(name, 0.0) for name in names] + pieces + [("<mask>", 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.Precompiled(map_bytes)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Metaspace(MARK, "always")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_special_tokens([AddedToken(name, special=True, lstrip=name == "<mask>") for name in [*names, "<mask>"]])
    return tokenizer


def gemma(vocabulary, merges, lower, added, ends=True):
    """GemmaTokenizer and, in lower case, Siglip2Tokenizer."""
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, fuse_unk=True, unk_token="<unk>", dropout=None,
                              byte_fallback=True))
    replace = normalizers.Replace(" ", MARK)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), replace]) if lower else replace
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous", False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens(added)
    if ends:
        tokenizer.post_processor = end_template("<eos>", vocabulary["<eos>"])
    return tokenizer


def gemma_added():
    return ([AddedToken(text, special=True, normalized=False) for text in GEMMA_SPECIAL] +
            [AddedToken(text, special=False, normalized=False) for text in
             ("<unused0>", "\n", "\n\n", MARK * 2, MARK * 3)])


def canonicalize_siglip(text, lower=True):
    """SiglipTokenizer.canonicalize_text."""
    text = text.lower() if lower else text
    text = text.translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", text).strip()


def clean(text, kind):
    """open_clip's get_clean_fn without ftfy and html."""
    if kind == "canonicalize":
        text = text.replace("_", " ").translate(str.maketrans("", "", string.punctuation)).lower()
        return " ".join(text.split()).strip()
    text = " ".join(text.split()).strip()
    return text.lower() if kind == "lower" else text


def encoded_charsmap(map_bytes):
    return base64.b64encode(map_bytes).decode()
