"""Needs transformers (make check-parity): checks that clipc reads directories of unigram and byte-fallback tokenizers as
transformers' own classes read them: GemmaTokenizer, Siglip2Tokenizer, T5Tokenizer and TokenizersBackend, as saved by
them and with the files' words changed, and XLMRobertaTokenizer.
Usage: pieces_construction.py TOKENIZER_IDS"""
import json
import os
import sys
import tempfile

from transformers import AutoTokenizer, GemmaTokenizer, Siglip2Tokenizer, T5Tokenizer, XLMRobertaTokenizer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pieces_reference as reference
import tokenizer_differential as differential
import tokenizer_pieces

MARK = reference.MARK
GEMMA = {"add_bos_token": False, "add_eos_token": True, "padding_side": "right", "model_max_length": 64}


def write(folder, tokenizer, config, model_type):
    differential.write_directory(folder, {"tokenizer.json": tokenizer, "tokenizer_config.json": config,
                                          **({"config.json": {"model_type": model_type}} if model_type else {})})


def compare(program, name, folder, texts, options=(), length=64):
    """AutoTokenizer's ids, padded to the length, and clipc's."""
    loaded = AutoTokenizer.from_pretrained(folder)
    kind = type(loaded).__name__
    theirs = loaded(texts, padding="max_length", truncation=True, max_length=length).input_ids
    wrong = 0
    ours = tokenizer_pieces.run(program, folder, texts, length, ["--padded", *options])
    for text, expected, ids in zip(texts, theirs, ours):
        if list(expected) != ids:
            wrong += 1
            if wrong <= 3:
                print(f"{name}: {text[:100]!r}\n  transformers {list(expected)[:30]}\n  clipc        {ids[:30]}")
    print(f"{name} ({kind}): {len(texts)} texts, {wrong} differ", flush=True)
    return wrong


def gemma_like(program, texts):
    vocabulary, merges = reference.train_pairs(1500)
    plain = reference.gemma(vocabulary, merges, False, reference.gemma_added()).to_str()
    wrong = 0
    cases = [("Gemma", {"tokenizer_class": "GemmaTokenizer", **GEMMA}, None),
             ("Gemma in a siglip2 model", {"tokenizer_class": "GemmaTokenizer", **GEMMA}, "siglip2"),
             ("Gemma in a siglip model", {"tokenizer_class": "GemmaTokenizerFast", **GEMMA}, "siglip"),
             ("Siglip2", {"tokenizer_class": "Siglip2Tokenizer", **GEMMA}, "siglip2"),
             ("Siglip2, no words", {"tokenizer_class": "Siglip2Tokenizer"}, "siglip2"),
             ("Siglip2, bos and left", {"tokenizer_class": "Siglip2Tokenizer", "add_bos_token": True,
                                        "padding_side": "left"}, "siglip2"),
             ("Siglip2, other names", {"tokenizer_class": "Siglip2Tokenizer", "pad_token": "<eos>",
                                       "eos_token": "<unused0>", "add_eos_token": True}, "siglip2"),
             ("backend", {"tokenizer_class": "TokenizersBackend", "pad_token": "<pad>", "unk_token": "<unk>"}, "siglip"),
             ("fast", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "<eos>",
                       "add_eos_token": False}, "siglip")]
    for name, config, model_type in cases:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, plain, config, model_type)
            options = ["--model-type", model_type] if model_type else []
            wrong += compare(program, name, folder, texts, options)
    for cls, model_type in ((GemmaTokenizer, "gemma"), (Siglip2Tokenizer, "siglip2")):
        with tempfile.TemporaryDirectory() as folder:
            made = cls(vocab=vocabulary, merges=merges, add_eos_token=True, padding_side="right", model_max_length=64)
            made.save_pretrained(folder)
            differential.write_directory(folder, {"config.json": {"model_type": model_type}})
            wrong += compare(program, f"saved by {cls.__name__}", folder, texts, ["--model-type", model_type])
    return wrong


def t5_like(program, texts):
    vocabulary = reference.train_unigram(1500)
    old = reference.unigram(vocabulary, reference.spm_normalizer(reference.small_charsmap()),
                            reference.pre_tokenizers.Metaspace(MARK, "first"))
    wrong = 0
    cases = [("T5 as open_clip saved it", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "pad_token": "</s>",
                                           "additional_special_tokens": []}, None),
             ("T5", {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0}, None),
             ("T5, eos stated", {"tokenizer_class": "T5TokenizerFast", "extra_ids": 0, "add_eos_token": True}, None),
             ("T5, left", {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "padding_side": "left"}, None),
             ("backend", {"tokenizer_class": "TokenizersBackend", "pad_token": "</s>"}, "siglip")]
    for name, config, model_type in cases:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, old.to_str(), config, model_type)
            wrong += compare(program, name, folder, texts)
    with tempfile.TemporaryDirectory() as folder:
        made = T5Tokenizer(vocab=vocabulary, extra_ids=0, pad_token="</s>", model_max_length=64)
        made.save_pretrained(folder)
        wrong += compare(program, "saved by T5Tokenizer", folder, texts)
    return wrong


def xlm_like(program, texts):
    plain = reference.xlm_roberta(reference.train_unigram(1500), reference.small_charsmap())
    wrong = 0
    cases = [("XLM-R", {"tokenizer_class": "XLMRobertaTokenizer"}),
             ("XLM-R, fast", {"tokenizer_class": "XLMRobertaTokenizerFast", "add_eos_token": False}),
             ("XLM-R, left", {"tokenizer_class": "XLMRobertaTokenizer", "padding_side": "left", "pad_token": "</s>"})]
    for name, config in cases:
        with tempfile.TemporaryDirectory() as folder:
            write(folder, plain.to_str(), config, "metaclip_2")
            wrong += compare(program, name, folder, texts)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = json.loads(plain.to_str())["model"]["vocab"]
        made = XLMRobertaTokenizer(vocab=[tuple(entry) for entry in vocabulary], model_max_length=64)
        made.save_pretrained(folder)
        differential.write_directory(folder, {"config.json": {"model_type": "metaclip_2"}})
        wrong += compare(program, "saved by XLMRobertaTokenizer", folder, texts)
    return wrong


def main():
    program = sys.argv[1]
    texts = tokenizer_pieces.texts_for(3, 53)
    wrong = gemma_like(program, texts) + t5_like(program, texts) + xlm_like(program, texts)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
