"""clipc convert streams: its memory is bounded by the largest tensor, not by the model."""

import os
import subprocess
import sys

from program import CLIPC, DEMO_MODEL, SOURCE, Case, environment, main


class ConvertMemory(Case):
    def measure(self, model, *options):
        return subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "bench/convert_memory.py"), "--program", CLIPC,
                               "--model", model, *options],
                              env={**environment(), "TMPDIR": self.folder}, capture_output=True, text=True, check=False)

    def test_every_direction(self):
        """The model, of 290 MiB, is much larger than what is allowed beside its largest tensor, of 48 MiB."""
        self.run_clipc("convert", "--arch", "ViT-B-32", self.path("model/"))
        held = self.measure(self.path("model"))
        self.assertEqual(held.returncode, 0, held.stdout + held.stderr)
        self.assertNotIn("TOO MUCH", held.stdout)
        self.assertIn("limit 157.9 MiB", held.stdout)
        self.assertEqual(len(held.stdout.splitlines()), 15, held.stdout)

    def test_too_much_is_found(self):
        missed = self.measure(DEMO_MODEL, "--beyond", "-40")  # less than what any of them takes
        self.assertEqual(missed.returncode, 1, missed.stdout + missed.stderr)
        self.assertEqual(missed.stdout.count("TOO MUCH"), 14, missed.stdout)


if __name__ == "__main__":
    main()
