"""clipc devices, and what --backend, --devices and --streams do where there is no GPU."""

import os
import subprocess
import unittest

from program import CLIPC, Case, main, sample

HAS_CUDA = os.environ.get("CLIPC_HAS_CUDA") == "1"
FAKE_DRIVER = os.environ.get("CLIPC_FAKE_DRIVER", "")
NOTHING = {"CUDA_VISIBLE_DEVICES": ""}
LABELS = ["--labels", "cat,dog", "--json"]


class Devices(Case):
    def test_processor(self):
        cpu = self.json_lines("devices", "--json", env=NOTHING)[0]
        self.assertEqual((cpu["backend"], cpu["index"], cpu["driver"], cpu["problem"]), ("cpu", 0, None, None))
        self.assertTrue(cpu["name"])
        self.assertGreater(cpu["memory_bytes"], cpu["free_bytes"])
        bench = self.json_lines("bench", "--warm-up", "0", "--iterations", "1", "--no-roofline", "--json", env=NOTHING)[0]
        self.assertEqual((cpu["isa"], cpu["precision"], cpu["units"]),
                         (bench["isa"], bench["precision"], bench["threads"]))

    def test_auto_never_falls_back_to_the_reference(self):
        """It would be exact, and hundreds of times slower, without a word."""
        for command in (["embed", "text", "a", "-o", "o.npy"], ["classify", sample("cat"), *LABELS], ["bench"]):
            self.run_clipc(*command, env={**NOTHING, "CLIPC_CPU": "foo"}, status=3)
            self.assertIn("unknown instruction set", self.stderr)

    def test_without_a_gpu_it_says_why(self):
        cuda = self.json_lines("devices", "--json", env=NOTHING)[1]
        self.assertEqual((cuda["backend"], cuda["index"]), ("cuda", None))
        self.assertRegex(cuda["problem"], "no NVIDIA (driver|device) was found" if HAS_CUDA else "built without")
        text = self.run_clipc("devices", env=NOTHING).decode()
        self.assertIn("cuda    none: " + cuda["problem"], text)

    def test_auto_computes_on_the_processor(self):
        expected = self.run_clipc("classify", sample("cat"), *LABELS, "--backend", "cpu", env=NOTHING)
        self.assertEqual(self.run_clipc("classify", sample("cat"), *LABELS, env=NOTHING), expected)

    def test_asking_for_a_gpu_fails(self):
        for options in [["--backend", "cuda"], ["--devices", "0"], ["--devices", "all"]]:
            self.run_clipc("classify", sample("cat"), *LABELS, *options, status=3, env=NOTHING)
            self.assertRegex(self.stderr, "cuda: .*(no NVIDIA|built without)")

    def test_precision_that_only_a_gpu_has(self):
        self.run_clipc("inspect", "--precision", "fp16", status=3, env=NOTHING)
        self.assertIn("backend cpu: it has no precision fp16", self.stderr)
        self.run_clipc("inspect", "--precision", "fp16", "--backend", "cpu", status=3, env=NOTHING)

    def test_streams_mean_nothing_to_the_processor(self):
        expected = self.run_clipc("classify", sample("cat"), *LABELS, env=NOTHING)
        self.assertEqual(self.run_clipc("classify", sample("cat"), *LABELS, "--streams", "3", "--batch-invariant",
                                        env=NOTHING), expected)

    def test_the_driver_is_no_library_of_the_program(self):
        libraries = subprocess.run(["ldd", CLIPC], stdout=subprocess.PIPE, check=True).stdout.decode()
        sanitized = "libasan" in libraries or "libtsan" in libraries  # which bring libstdc++ along
        for name in ["libcuda", "libcudart", "libnv", *([] if sanitized else ["libstdc++"])]:
            self.assertNotIn(name, libraries)


@unittest.skipUnless(HAS_CUDA and FAKE_DRIVER, "built without the cuda backend")
class Drivers(Case):
    def problem(self, version):
        env = {"LD_LIBRARY_PATH": FAKE_DRIVER, "FAKE_CUDA_VERSION": version}
        text = self.json_lines("devices", "--json", env=env)[1]["problem"]
        self.run_clipc("classify", sample("cat"), *LABELS, env=env)
        self.run_clipc("classify", sample("cat"), *LABELS, "--backend", "cuda", status=3, env=env)
        self.assertIn(text, self.stderr)
        return text

    def test_old_driver(self):
        self.assertRegex(self.problem("11080"), r"driver is for CUDA 11\.8, and this program needs one for CUDA \d+\.\d")

    def test_driver_without_a_device(self):
        self.assertEqual(self.problem("99990"), "no NVIDIA device was found")


if __name__ == "__main__":
    main()
