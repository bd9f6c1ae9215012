"""Makes the small tokenizers of tests/unit/pieces and, with the tokenizers package, the ids that unit.test_tokenizer_pieces
expects: expected.txt, a line for each text: file, a tab, the text as JSON, a tab, the ids.
Usage: make_pieces_fixtures.py FOLDER"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import charsmap
import pieces_reference as reference
from tokenizers import normalizers, pre_tokenizers

TEXTS = ["", " ", "a photo of a cat", "A  Photo, of the RED umbrella!", "...", "\u2603\u2603 snow", "caf\xe9 \uff21\ufb01 x\xa0y",
         "</s> dog <unk>", "\U0001f600 \u0416\u0436 \u65e5\u672c", "\u2581\u2581a\u2581", "the the the man holding a pizza on the street",
         "\u0130stanbul \u03a3\u0391\u03a3", "x" * 100, "\n\nline\tend ", "<0x41>A"]


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    map_bytes = charsmap.build(charsmap.nfkc_rules([*range(0x80, 0x180), *range(0xFF01, 0xFF5F), *range(0xFB00, 0xFB07)]))
    vocabulary = [(token, round(score, 6)) for token, score in reference.train_unigram(300)]
    vocabulary += [(name, -9.0) for name in reference.BYTES[0x80:]]
    pairs, merges = reference.train_pairs(600)
    made = {
        "unigram.json": reference.unigram(
            vocabulary, normalizers.Sequence([normalizers.Precompiled(map_bytes),
                                              *reference.canonical_normalizer()]),
            pre_tokenizers.Metaspace(reference.MARK, "always"), fallback=True),
        "pairs.json": reference.gemma(pairs, merges, True, reference.gemma_added()),
    }
    with open(os.path.join(folder, "expected.txt"), "w", encoding="utf-8") as expected:
        for name, tokenizer in made.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(tokenizer.to_str())
            tokenizer = tokenizer.from_str(tokenizer.to_str())
            for text in TEXTS:
                ids = " ".join(map(str, tokenizer.encode(text).ids))
                expected.write(f"{name}\t{json.dumps(text, ensure_ascii=False)}\t{ids}\n")


if __name__ == "__main__":
    main()
