"""Needs transformers (make check-parity): checks that tokenizer_reference.py builds what transformers' CLIPTokenizer
builds, and that clipc reads the special tokens of many kinds of model directories as transformers does.
Usage: tokenizer_construction.py TOKENIZER_IDS MODEL_DIRECTORY"""
import json
import os
import sys
import tempfile

from transformers import CLIPTokenizer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_differential as differential
import tokenizer_reference as reference
import tokenizer_texts


def token(content, **flags):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, **flags}


def added(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


S, E = reference.START, reference.END
# Name, tokenizer_config.json, special_tokens_map.json, with tokenizer.json?
DIRECTORIES = [
    ("nothing but the vocabulary", None, None, False),
    ("strings", {"bos_token": S, "eos_token": E}, {"bos_token": S, "eos_token": E, "pad_token": E}, False),
    ("OpenAI's", {"bos_token": added(S, normalized=True), "eos_token": added(E, normalized=True),
                  "unk_token": added(E, normalized=True), "pad_token": E, "add_prefix_space": False},
     {"bos_token": token(S, normalized=True), "eos_token": token(E, normalized=True),
      "unk_token": token(E, normalized=True), "pad_token": E}, False),
    ("pad token as an object", {"pad_token": added("!", normalized=True), "bos_token": added(S, normalized=True)}, None,
     False),
    ("unk as an object after strings", {"bos_token": S, "eos_token": E, "unk_token": added(E, normalized=True),
                                        "pad_token": E}, None, False),
    ("decoder", {"added_tokens_decoder": {"49406": token(S, normalized=True, special=True),
                                          "49407": token(E, normalized=False, special=True)}},
     {"bos_token": token(S, normalized=False)}, False),
    ("decoder and more tokens", {"added_tokens_decoder": {"49407": token(E, normalized=True, special=True),
                                                          "49408": token("<X>", normalized=True)},
                                 "bos_token": S, "mask_token": "<mask>",
                                 "extra_special_tokens": ["<a>", "<B>"]}, None, False),
    ("strips", {"added_tokens_decoder": {"49407": {**token(E, normalized=False, special=True), "lstrip": True,
                                                   "rstrip": True}}}, None, False),
    ("no limit", {"model_max_length": 1000000000000000019884624838656}, None, False),
    ("tokenizer.json", None, None, True),
    ("tokenizer.json and a config", {"bos_token": added(S, normalized=True), "eos_token": E},
     {"pad_token": token(E, normalized=True)}, True),
]


def main():
    program, model = sys.argv[1:3]
    vocabulary, merges = reference.read_files(model)
    tokenizer = CLIPTokenizer.from_pretrained(model)
    same = tokenizer.backend_tokenizer.to_str() == reference.build(vocabulary, merges).to_str()
    print("to_str() of transformers and of tokenizer_reference.py:", "identical" if same else "DIFFERENT")
    wrong = not same
    texts = tokenizer_texts.FIXED + tokenizer_texts.all_texts(2)[:800]
    texts += [f"{a}{b}{c}" for a in ("", "x ", "x", "\u0301") for b in
              ["<X>", "<x>", "<a>", "<A>", "<b>", "<B>", "<mask>", "<MASK>", "!", "<|STARTOFTEXT|>", "<|ENDOFTEXT|>"]
              for c in ("", "y", " 's")]
    for name, config, special_map, with_json in DIRECTORIES:
        with tempfile.TemporaryDirectory() as folder:
            files = {"vocab.json": vocabulary, "merges.txt": "#version: 0.2\n" + "".join(
                " ".join(merge) + "\n" for merge in merges)}
            if with_json:
                built = reference.build(vocabulary, merges, [(S, True), (E, False)])
                files = {"tokenizer.json": json.loads(built.to_str())}
            if config is not None:
                files["tokenizer_config.json"] = {"tokenizer_class": "CLIPTokenizer", **config}
            if special_map is not None:
                files["special_tokens_map.json"] = special_map
            differential.write_directory(folder, files)
            loaded = CLIPTokenizer.from_pretrained(folder)
            wrong += differential.compare(name, program, folder, loaded.backend_tokenizer, texts)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
