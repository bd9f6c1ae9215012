"""Makes a precompiled_charsmap as sentencepiece's builder writes it: a double-array trie in darts-clone's units, then the
replacements. The rules are a small NFKC: what sentencepiece's nmt_nfkc does to the characters that occur in tests."""
import struct
import unicodedata


class _Units:
    """A node at place p with offset o has its child of byte c at p ^ o ^ c; a value lies at the child of byte 0."""

    def __init__(self):
        self.units = [0] * 1024
        self.used = [False] * 1024
        self.bases = set()
        self.first_free = 1
        self.used[0] = True

    def _grow(self, size):
        while len(self.units) < size:
            self.units += [0] * len(self.units)
            self.used += [False] * len(self.used)

    def base_for(self, labels):
        while self.first_free < len(self.used) and self.used[self.first_free]:
            self.first_free += 1
        place = self.first_free
        while True:
            self._grow(place + 512)
            base = place ^ labels[0]
            if not self.used[place] and base not in self.bases:
                self._grow(max(base ^ label for label in labels) + 1)
                if not any(self.used[base ^ label] for label in labels):
                    self.bases.add(base)
                    for label in labels:
                        self.used[base ^ label] = True
                    return base
            place += 1


def build(rules):
    """rules: {text: replacement}."""
    replacements = {}
    blob = b""
    trie = {}
    for text, replacement in sorted(rules.items()):
        if replacement not in replacements:
            replacements[replacement] = len(blob)
            blob += replacement.encode() + b"\0"
        node = trie
        for byte in text.encode():
            node = node.setdefault(byte, {})
        node[0] = replacements[replacement]
    units = _Units()
    pending = [(trie, 0)]
    while pending:
        node, place = pending.pop()
        labels = sorted(node)
        base = units.base_for(labels)
        offset = place ^ base
        assert offset < 1 << 21
        units.units[place] |= offset << 10 | (0x100 if 0 in node else 0)
        for label in labels:
            if label == 0:
                units.units[base] = 1 << 31 | node[0]
            else:
                units.units[base ^ label] = label
                pending.append((node[label], base ^ label))
    array = b"".join(struct.pack("<I", unit) for unit in units.units)
    return struct.pack("<I", len(array)) + array + blob


def nfkc_rules(code_points):
    """Compatibility forms, compositions of letter and mark, spaces, and controls that vanish."""
    rules = {}
    for code_point in code_points:
        character = chr(code_point)
        normal = unicodedata.normalize("NFKC", character)
        if normal != character and "\0" not in normal:
            rules[character] = normal
        parts = unicodedata.normalize("NFD", character)
        if len(parts) > 1:
            rules[parts] = unicodedata.normalize("NFKC", character)
    for code_point in [*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0xAD, 0x200B, 0xFEFF]:
        rules[chr(code_point)] = ""
    for code_point in (9, 10, 12, 13, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x3000):
        rules[chr(code_point)] = " "
    return rules
