"""Texts that find mistakes in a tokenizer: ordinary captions, every code point, and everything that has a rule."""
import random

SPECIAL = ["<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|endoftext", "|endoftext|>",
           "<|startoftext|><|endoftext|>", "<<|endoftext|>>", "<|endoftext|>'s", "<|ENDOFTEXT|>'s", "!<|ENDOFTEXT|>!",
           "<|end<|endoftext|>oftext|>", "<|\u0130endoftext|>", "<|startoftext|>\u0301", "<|STARTOFTEXT|>\u0301"]
FIXED = ["", " ", "\n", "\x00", "a\x00b", "a photo of a cat", "Hello World!, how are you?", "You should've done this",
         "A\n'll 11p223RF\u2606ho!!to?'d'd''d of a cat to-$''d.", "xa\u0303y x\xe3y", "I'm fine, thanks!",
         "\u0130stanbul \u0130\u0307", "\u039f\u0394\u03a5\u03a3\u03a3\u0395\u03a5\u03a3 \u03a3 a\u03a3", "\u212bngstr\xf6m \u2126 \u212a",
         "\uac00\u11a8 \u1100\u1161\u11a8 \u1100\u1161\u11a7 \uac01\u11a8", "\u0344 \u0f73\u0f75 \u0f81",
         "'S 'T 'RE 'Ve 'm 'LL 'D 's't 'ss ''s '\u017f", "can't CAN'T can\u2019t", "1234567890 \xbd\xb2\u2163\u0969",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd", "\ufeffbom",
         "\u2028\u2029\x85\xa0\u3000\u200b\u180e\u2060", "\x1c\x1d\x1e\x1f", "\ud7ff\ue000\ufffe\uffff\U0010ffff",
         "fi\ufb01 \ufb1d \u2adc \U0001d15e \U0002f800 \u0958"]
WORDS = ("a the of photo cat dog in on red blue woman man holding standing with sitting street snow mountain bicycle "
         "umbrella pizza giraffe beautiful photograph close-up black-and-white don't it's they're we've I'll "
         "antidisestablishmentarianism supercalifragilistic 3D 4k 1920x1080 e.g. http://example.org/x?y=1&z #tag "
         "@user $5.00 50% C++ na\xefve caf\xe9 \u65e5\u672c\u8a9e \u4e2d\u6587 \u0440\u0443\u0441\u0441\u043a\u0438\u0439 "
         "\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea "
         "\ud55c\uad6d\uc5b4 \u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940 Ti\u1ebfng Vi\u1ec7t \U0001f600 :-) ...").split()
MARKS = [0x300, 0x301, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30A, 0x30C, 0x323, 0x327, 0x328, 0x331, 0x338,
         0x345, 0x5B0, 0x64B, 0x651, 0x93C, 0x94D, 0x9BE, 0xBD7, 0x1161, 0x11A8, 0x3099, 0x309A, 0x1133B, 0x16FF0,
         0x8D3, 0x1ABF, 0x1D165, 0x1D16E, 0x11930, 0x1E4EC, 0x110BA]
BASES = [ord(c) for c in "aAeEiIoOuUnNsSdD'<|"] + [0x3B1, 0x3A9, 0x1F00, 0x1EA0, 0xE9, 0x130, 0x3A3, 0x915, 0x9C7,
                                                  0xBC6, 0xAC00, 0x1100, 0x304B, 0x30CF, 0x11935, 0x212B, 0x1E9B,
                                                  0x20, 0x2000, 0xF71, 0x5D0, 0x627, 0x1D157]


def is_scalar(code_point):
    return not 0xD800 <= code_point < 0xE000


def captions(generator, count):
    return [" ".join(generator.choices(WORDS, k=generator.randint(3, 20))) for _ in range(count)]


def every_code_point():
    """Each alone in a caption's place, and between letters, 16 to a text."""
    code_points = [c for c in range(0x110000) if is_scalar(c)]
    for begin in range(0, len(code_points), 16):
        row = code_points[begin:begin + 16]
        # Private and unassigned planes are alike: a sixteenth of them is enough.
        if row[0] >= 0x40000 and row[0] % 0x1000:
            continue
        yield " ".join(map(chr, row))
        if row[0] < 0x34000:
            yield "".join("a" + chr(c) for c in row)


def random_text(generator, alphabet, longest):
    return "".join(generator.choices(alphabet, k=generator.randint(1, longest)))


def nasty(generator, count):
    spaces = " \t\n\v\f\r\x1c\x85\xa0\u1680\u2003\u2028\u3000\u200b"
    ascii_text = [chr(c) for c in range(128)]
    pieces = SPECIAL + ["'s", "'re", "'LL", "''", "'", "s", "re", "ll", "<", "<|", "|>", "!", "1", "a", " ", "\u0301"]
    blocks = [chr(c) for c in range(0x30000) if is_scalar(c)]
    marks = [chr(c) for c in MARKS]
    bases = [chr(c) for c in BASES]
    for i in range(count):
        kind = i % 8
        if kind == 0:
            yield random_text(generator, ascii_text, 60)
        elif kind == 1:
            yield random_text(generator, pieces, 12)
        elif kind == 2:
            yield random_text(generator, bases + marks, 24)
        elif kind == 3:
            block = generator.randrange(0, len(blocks) - 128)
            yield random_text(generator, blocks[block:block + 128] + list(" a'"), 40)
        elif kind == 4:
            yield "".join(generator.choice(bases) + random_text(generator, marks, 5) for _ in range(6))
        elif kind == 5:
            yield random_text(generator, list(spaces) + ["a", "B", "\xe9", "'s", "9"], 40)
        elif kind == 6:
            yield random_text(generator, blocks, 30)
        else:
            yield random_text(generator, list("abcdefghijklmnopqrstuvwxyzETAOIN'-."), 200)


def long_words(generator):
    for length in (14, 15, 16, 17, 94, 95, 96, 97, 98, 200, 1000, 20000):
        yield "a" * length
        yield "ab" * length
        yield "'" * length
        yield "".join(generator.choices("etaoinshrdlu", k=length))
        yield "e\u0301" * length
        yield "a" + "\u0301\u0323\u0300" * length
        yield "\u4e2d" * length
        yield "<" * length
        yield "0" * length
        yield "\U0001f600" * length


def all_texts(seed):
    generator = random.Random(seed)
    texts = list(FIXED) + list(SPECIAL)
    texts += [a + b + c for a in ("", "x", "!", " ", "\u0301") for b in SPECIAL for c in ("", "x", "'s", "!", " y", "\u0301")]
    texts += captions(generator, 20000)
    texts += every_code_point()
    texts += nasty(generator, 60000)
    texts += long_words(generator)
    return texts
