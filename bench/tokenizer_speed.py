"""Tokens per second of clipc's tokenizer and of the tokenizers package, on the same captions, one thread each, in one
run. Usage: tokenizer_speed.py TOKENIZER_IDS MODEL_DIRECTORY  (the program is build/tests/parity/tokenizer_ids)"""
import os
import random
import struct
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "parity"))
import tokenizer_reference as reference
import tokenizer_texts

LIMIT = 77


def ascii_captions(generator, count):
    words = [word for word in tokenizer_texts.WORDS if word.isascii()]
    return [" ".join(generator.choices(words, k=generator.randint(5, 20))) for _ in range(count)]


def rare_words(generator, count):
    """Words that no table knows: every one is merged."""
    return [" ".join("".join(generator.choices("etaoinshrdlucmfw", k=generator.randint(4, 12))) for _ in range(10))
            for _ in range(count)]


def measure_clipc(program, directory, texts):
    packed = b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts))
    out = subprocess.run([program, directory, str(LIMIT), "--bench"], input=packed, stdout=subprocess.PIPE, check=True)
    tokens, seconds = out.stdout.split()
    return int(tokens), float(seconds)


def measure_tokenizers(tokenizer, texts):
    best = None
    for _ in range(3):
        start = time.perf_counter()
        tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts))
        took = time.perf_counter() - start
        best = took if best is None else min(best, took)
    return tokens, best


def main():
    program, directory = sys.argv[1:3]
    tokenizer = reference.build(*reference.read_files(directory))
    tokenizer.enable_truncation(LIMIT)
    generator = random.Random(1)
    for name, texts in (("English captions", ascii_captions(generator, 20000)),
                        ("captions in many scripts", tokenizer_texts.captions(generator, 20000)),
                        ("words never seen", rare_words(generator, 20000))):
        tokens, seconds = measure_clipc(program, directory, texts)
        peer_tokens, peer_seconds = measure_tokenizers(tokenizer, texts)
        assert tokens == peer_tokens
        print(f"{name}: {tokens} tokens, clipc {tokens / seconds / 1e6:.2f} million tokens/s, "
              f"tokenizers {peer_tokens / peer_seconds / 1e6:.2f}, ratio {peer_seconds / seconds:.1f}")


if __name__ == "__main__":
    main()
