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

    def test_refusals(self):
        for given, words in [("image.99.fc2", "names no linear layer"), ("image.0.fc1=int4", "neither fp32 nor bf16"),
                             ("*.fc1=", "neither fp32 nor bf16")]:
            self.run_clipc("embed", "image", JPEG, "-o", "out.npy", "--precision", "int8", "--backend", "cpu",
                           "--keep-precise", given, status=3)
            self.assertIn(words, self.stderr)
        self.run_clipc("convert", "x.clipc", "--precision", "fp32", "--keep-precise", "*", status=3)
        self.assertIn("nothing is more precise", self.stderr)
        self.assert_only()


if __name__ == "__main__":
    main()
