"""Compares the ids of clipc's tokenizer with the tokenizers package's on more than 100,000 texts.
Usage: tokenizer_differential.py TOKENIZER_IDS MODEL_DIRECTORY [--seed N]"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tokenizer_reference as reference
import tokenizer_texts

NO_LIMIT = 1 << 22


def run_clipc(program, directory, texts, limit):
    packed = b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts))
    out = subprocess.run([program, directory, str(limit)], input=packed, stdout=subprocess.PIPE, check=True).stdout
    at = 0
    for _ in texts:
        count, = struct.unpack_from("<I", out, at)
        yield list(struct.unpack_from(f"<{count}i", out, at + 4))
        at += 4 + 4 * count
    assert at == len(out)


def compare(name, program, directory, tokenizer, texts, limit=NO_LIMIT):
    tokenizer.no_truncation()
    if limit != NO_LIMIT:
        tokenizer.enable_truncation(limit)
    wrong = 0
    begin = 0
    ours = run_clipc(program, directory, texts, limit)
    while begin < len(texts):
        batch = texts[begin:begin + 4096]
        begin += len(batch)
        for text, encoding, ids in zip(batch, tokenizer.encode_batch(batch), ours):
            if encoding.ids != ids:
                wrong += 1
                if wrong <= 10:
                    print(f"{name}: {text[:200]!r}\n  tokenizers {encoding.ids[:40]}\n  clipc      {ids[:40]}")
    print(f"{name}: {len(texts)} texts, {wrong} differ")
    return wrong


def write_directory(directory, files):
    for name, value in files.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8", newline="\n") as file:
            file.write(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("directory")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    vocabulary, merges = reference.read_files(arguments.directory)
    tokenizer = reference.build(vocabulary, merges)
    texts = tokenizer_texts.all_texts(arguments.seed)
    assert len(texts) >= 100000
    wrong = compare("vocab.json and merges.txt", arguments.program, arguments.directory, tokenizer, texts)
    wrong += compare("cut to 77", arguments.program, arguments.directory, tokenizer, texts[::11], 77)
    wrong += compare("cut to 5", arguments.program, arguments.directory, tokenizer, texts[::13], 5)
    with tempfile.TemporaryDirectory() as folder:
        write_directory(folder, {"tokenizer.json": tokenizer.to_str()})
        wrong += compare("tokenizer.json", arguments.program, folder, tokenizer, texts[::17])
        # As OpenAI's own files have it: the start token is looked for in normalised text.
        tokenizer = reference.build(vocabulary, merges, [(reference.START, True), (reference.END, False)])
        old = json.loads(tokenizer.to_str())
        old["model"]["merges"] = [" ".join(merge) for merge in old["model"]["merges"]]
        write_directory(folder, {"tokenizer.json": old})
        wrong += compare("tokenizer.json, start token normalized", arguments.program, folder, tokenizer, texts[::7])
        # A few merges only, so that most words are many tokens, and further added tokens.
        few = merges[:300]
        small = {token: i for i, token in enumerate(
            [t for t in vocabulary if len(t.replace("</w>", "")) == 1] + ["".join(merge) for merge in few])}
        small = {token: i for i, token in enumerate(list(small) + [reference.START, reference.END])}
        added = [("<|x\xc9|>", True), ("\u0301e", False), ("cat", True), ("photo", False), ("photos", False),
                 (reference.START, False), (reference.END, False)]
        decoder = {str(i): {"content": content, "normalized": normalized, "special": True}
                   for i, (content, normalized) in zip(
                       [len(small), len(small) + 1, len(small) + 2, len(small) + 3, len(small) + 4,
                        small[reference.START], small[reference.END]], added)}
        os.remove(os.path.join(folder, "tokenizer.json"))
        write_directory(folder, {"vocab.json": small, "merges.txt": "#version: 0.2\n" + "".join(
            " ".join(merge) + "\n" for merge in few), "tokenizer_config.json": {"added_tokens_decoder": decoder}})
        tokenizer = reference.build(small, few, added)
        more = [text.replace("the", "photos").replace("red", "<|X\xc9|>") for text in texts[::7]]
        wrong += compare("few merges, more added tokens", arguments.program, folder, tokenizer, more)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
