"""--keep-precise: linear layers of another precision, from the command line."""

import math

from program import JPEG, Case, main, read_npy, rows_of


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


class KeepPrecise(Case):
    def embed(self, *options):
        self.run_clipc("embed", "image", JPEG, "-o", "out.npy", "--backend", "cpu", *options)
        return rows_of(read_npy(self.path("out.npy")))[0]

    def test_accuracy_and_engine_file(self):
        exact = self.embed("--precision", "fp32")
        coarse = self.embed("--precision", "int8")
        kept = self.embed("--precision", "int8", "--keep-precise", "image.*=fp32")
        self.assertLess(1 - cosine(kept, exact), (1 - cosine(coarse, exact)) / 4)
        self.run_clipc("convert", "kept.clipc", "--precision", "int8", "--keep-precise", "image.*=fp32")
        self.assertEqual(self.embed("--model", "kept.clipc"), kept)

    def test_an_exception_is_no_contradiction(self):
        kept = self.embed("--precision", "int8", "--keep-precise", "image.*,image.0.fc1=fp32")
        self.assertEqual(len(kept), 256)

    def test_inspect_lists_the_layers(self):
        self.run_clipc("convert", "kept.clipc", "--precision", "int8", "--keep-precise", "image.3.fc2,text.*.fc1=fp32")
        layers = self.json_lines("inspect", "kept.clipc", "--layers", "--json")[0]["layers"]
        self.assertEqual(len(layers), 43)
        stored = {layer["name"]: layer["stored"] for layer in layers}
        self.assertEqual((stored["image.layers.3.fc2"], stored["text.layers.1.fc1"], stored["image.layers.0.fc1"]),
                         ("bf16", "fp32", "int8"))
        first = layers[1]
        self.assertEqual((first["name"], first["parts"], first["outputs"], first["inner"]),
                         ("image.layers.0.query_key_value", 3, 256, 256))
        self.assertGreaterEqual(first["bytes"], 3 * 256 * 256)
        self.assertNotIn("layers", self.json_lines("inspect", "kept.clipc", "--json")[0])
        text = self.run_clipc("inspect", "kept.clipc", "--layers").decode()
        self.assertEqual(sum(line.startswith(("image.", "text.")) for line in text.splitlines()), 43)

    def test_refusals(self):
        for given, words in [("image.99.fc2", "names no linear layer"), ("image.0.fc1=int4", "neither fp32 nor bf16"),
                             ("*.fc1=", "neither fp32 nor bf16"), ("", "the list is empty"),
                             ("image.0.fc1,", "part of the list is empty"),
                             ("image.0.fc1,,image.1.fc1", "part of the list is empty"),
                             ("image.0.fc1=fp32,image.0.fc1=bf16", "'image.0.fc1' is there twice"),
                             ("*.fc1,image.0.fc2,*.fc1", "'*.fc1' is there twice"),
                             ("image.3.fc2=fp32,image.layers.3.fc2", "'image.3.fc2' and 'image.layers.3.fc2' are one")]:
            self.run_clipc("embed", "image", JPEG, "-o", "out.npy", "--precision", "int8", "--backend", "cpu",
                           "--keep-precise", given, status=2)
            self.assertIn("--keep-precise: ", self.stderr)
            self.assertIn(words, self.stderr)
        self.run_clipc("convert", "x.clipc", "--precision", "fp32", "--keep-precise", "*", status=2)
        self.assertIn("--keep-precise: nothing is more precise", self.stderr)
        self.assert_only()


if __name__ == "__main__":
    main()
