"""Where the reference tokenizer's Unicode data differ from utf8proc 2.8's (Unicode 15.0): makes
src/text/unicode_tables.h, or checks it with --check FILE.

Every part of the reference has its own version of Unicode: the NFC of the unicode-normalization-alignments crate has
9.0, Oniguruma's \\p{L}, \\p{N} and \\s 16.0, the to_lowercase of Rust's library 17.0. All are asked, for all code
points, through the tokenizers wheel.
"""
import argparse
import ctypes
import ctypes.util
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# One mark of every canonical combining class that Unicode 9.0 has.
MARK_OF_CLASS = {
    1: 0x334, 7: 0x93C, 8: 0x3099, 9: 0x94D, 10: 0x5B0, 11: 0x5B1, 12: 0x5B2, 13: 0x5B3, 14: 0x5B4, 15: 0x5B5,
    16: 0x5B6, 17: 0x5B7, 18: 0x5B8, 19: 0x5B9, 20: 0x5BB, 21: 0x5BC, 22: 0x5BD, 23: 0x5BF, 24: 0x5C1, 25: 0x5C2,
    26: 0xFB1E, 27: 0x64B, 28: 0x64C, 29: 0x64D, 30: 0x618, 31: 0x619, 32: 0x61A, 33: 0x651, 34: 0x652, 35: 0x670,
    36: 0x711, 84: 0xC55, 91: 0xC56, 103: 0xE38, 107: 0xE48, 118: 0xEB8, 122: 0xEC8, 129: 0xF71, 130: 0xF72,
    132: 0xF74, 202: 0x321, 214: 0x1DCE, 216: 0x31B, 218: 0x302A, 220: 0x316, 222: 0x59A, 224: 0x302E, 226: 0x1D16D, 228: 0x5AE,
    230: 0x301, 232: 0x315, 233: 0x35C, 234: 0x35D, 240: 0x345}


class Utf8proc:
    """utf8proc's view of a code point."""

    DECOMPOSE = 1 << 4
    STABLE = 1 << 1

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
        self.library.utf8proc_unicode_version.restype = ctypes.c_char_p
        self.library.utf8proc_get_property.restype = ctypes.POINTER(ctypes.c_uint16)
        self.version = self.library.utf8proc_unicode_version().decode()

    def category(self, code_point):
        return self.library.utf8proc_category(code_point)

    def combining_class(self, code_point):
        return self.library.utf8proc_get_property(code_point)[1]

    def lower(self, code_point):
        return self.library.utf8proc_tolower(code_point)

    def decompose(self, code_point):
        out = (ctypes.c_int32 * 32)()
        boundary = ctypes.c_int(0)
        count = self.library.utf8proc_decompose_char(code_point, out, 32, self.DECOMPOSE | self.STABLE,
                                                     ctypes.byref(boundary))
        return list(out[:count])


def ranges(code_points):
    out = []
    for code_point in sorted(code_points):
        if out and out[-1][1] == code_point - 1:
            out[-1][1] = code_point
        else:
            out.append([code_point, code_point])
    return out


def matching(pattern):
    """The code points that the reference's regular expressions count as `pattern`."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for begin in range(0, len(CODE_POINTS), 4096):
        text = "".join(map(chr, CODE_POINTS[begin:begin + 4096]))
        kept = set("".join(piece for piece, _ in split.pre_tokenize_str(text)))
        found |= {ord(character) for character in text if character not in kept}
    return found


def reference_combining_class(nfc, code_point):
    """A mark keeps its place after another exactly when its class is not lower."""
    def keeps(mark):
        text = "X" + chr(mark) + chr(code_point)
        return nfc(text) == text
    if code_point == MARK_OF_CLASS[240] or keeps(MARK_OF_CLASS[240]):
        return 240 if code_point == MARK_OF_CLASS[240] else 0
    return max((k for k, mark in MARK_OF_CLASS.items() if keeps(mark)), default=-1)


def normalization_tables(utf8proc):
    nfc = normalizers.NFC().normalize_str
    inert = set()
    seconds = set()
    for c in CODE_POINTS:
        decomposed = utf8proc.decompose(c)
        if decomposed == [c]:
            assert nfc(chr(c)) == chr(c), hex(c)
            ours = utf8proc.combining_class(c)
            theirs = reference_combining_class(nfc, c)
            if ours != theirs:
                assert theirs == 0, (hex(c), ours, theirs)
                inert.add(c)
            continue
        if utf8proc.combining_class(c) == 0 and utf8proc.combining_class(decomposed[0]) != 0:
            seconds.add(c)
        if 0xAC00 <= c <= 0xD7A3:
            assert nfc("".join(map(chr, decomposed))) == chr(c)
        else:
            text = "".join(map(chr, decomposed))
            single = nfc(chr(c))
            composed = nfc(text)
            if composed != single:
                assert single == chr(c) and composed == text, hex(c)
                inert.add(c)
            elif composed == chr(c) and utf8proc.combining_class(decomposed[-1]) == 0:
                seconds.add(decomposed[-1])
    # Hangul vowels and trailing consonants.
    seconds |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    return inert, seconds


def lower_case_tables(utf8proc):
    lower = normalizers.Lowercase().normalize_str
    found = []
    for c in CODE_POINTS:
        if c == 0x130:
            assert lower(chr(c)) == "i\u0307"
            continue
        theirs = lower(chr(c))
        assert len(theirs) == 1, hex(c)
        if ord(theirs) != utf8proc.lower(c):
            found.append((c, ord(theirs)))
    # Runs with one distance, and every code point or every other one.
    runs = []
    for c, to in found:
        for run in runs[-1:]:
            first, last, step, distance = run
            if to - c == distance and c - last == (step or c - last) and c - last in (1, 2):
                run[1:3] = [c, c - last]
                break
        else:
            runs.append([c, c, 0, to - c])
    return [(first, last, step or 1, distance) for first, last, step, distance in runs]


def render(utf8proc):
    categories = {c: utf8proc.category(c) for c in CODE_POINTS}
    letters, numbers, spaces = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    our_letters = {c for c in CODE_POINTS if 1 <= categories[c] <= 5}
    our_numbers = {c for c in CODE_POINTS if 9 <= categories[c] <= 11}
    assert our_letters <= letters and our_numbers <= numbers
    assert all(categories[c] == 0 for c in (letters - our_letters) | (numbers - our_numbers))
    inert, seconds = normalization_tables(utf8proc)

    def table(kind, name, comment, rows):
        lines = [f"/* {comment} */", f"static const clipc_code_{kind} {name}[] = {{"]
        line = "   "
        for row in rows:
            cell = " {" + ", ".join(row) + "},"
            if len(line + cell) > 119:
                lines.append(line)
                line = "   "
            line += cell
        return "\n".join(lines + [line.rstrip(","), "};", ""])

    def pairs(code_points):
        return [(f"0x{a:X}", f"0x{b:X}") for a, b in ranges(code_points)]

    return "\n".join([
        "/* Made by tests/parity/tokenizer_unicode_tables.py from the tokenizers wheel and utf8proc 2.8: where the",
        " * reference's Unicode data differ. Ranges are inclusive and sorted. Included by unicode.c only. */",
        "#ifndef CLIPC_TEXT_UNICODE_TABLES_H",
        "#define CLIPC_TEXT_UNICODE_TABLES_H",
        "",
        '#include "text/unicode.h"',
        "",
        "/* clang-format off */",
        table("range", "space_ranges", "\\\\s in Unicode 16.0, which Oniguruma has.".replace("\\\\", "\\"), pairs(spaces)),
        table("range", "new_letters", "\\p{L} in Unicode 16.0, unassigned in 15.0.", pairs(letters - our_letters)),
        table("range", "new_numbers", "\\p{N} in Unicode 16.0, unassigned in 15.0.", pairs(numbers - our_numbers)),
        table("range", "inert_marks",
              "Combining or composed in Unicode 15.0, unassigned in 9.0: NFC leaves them alone.", pairs(inert)),
        table("range", "second_starters",
              "Combining class 0, yet NFC may join them, or what they decompose to, to what stands before.", pairs(seconds)),
        table("shift", "new_lower_cases", "Lower case that Unicode 17.0 has and utf8proc has not: first, last, step, "
              "distance.", [(f"0x{a:X}", f"0x{b:X}", str(s), str(d)) for a, b, s, d in lower_case_tables(utf8proc)]),
        "/* clang-format on */",
        "",
        "#endif", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", help="compare with this file instead of printing")
    arguments = parser.parse_args()
    utf8proc = Utf8proc()
    if utf8proc.version != "15.0.0":
        print(f"utf8proc has Unicode {utf8proc.version}: the tables are made for 15.0.0")
        return 77 if arguments.check else 1
    text = render(utf8proc)
    if not arguments.check:
        print(text, end="")
        return 0
    with open(arguments.check, encoding="utf-8") as file:
        if file.read() == text:
            print("the tables are what the wheel says")
            return 0
    print(f"{arguments.check} differs from what the wheel says: run {sys.argv[0]} to make it anew")
    return 1


if __name__ == "__main__":
    sys.exit(main())
