"""clipc onnx replace-layernorm: what it writes, and what is refused."""

import os

from program import Case, main

GRAPH = "graphs/clip_visual.onnx"


class Onnx(Case):
    def replace(self, *arguments, **options):
        self.run_clipc("onnx", "replace-layernorm", *arguments, **options)

    def export(self, *options):
        self.run_clipc("export-onnx", "--out-dir", "graphs", "--visual-only", *options)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_operators_and_chains(self):
        for opset, kind in (("12", "0 of them operators and 14 chains"), ("17", "14 of them operators and 0 chains")):
            self.export("--opset", opset)
            self.replace(GRAPH, "out.onnx")
            self.assertIn(kind, self.stderr)
            self.assertEqual(self.content("out.onnx").count(b"ClipcLayerNorm"), 14)
            self.assertNotIn(b"LayerNormalization", self.content("out.onnx"))
            os.remove(self.path("out.onnx"))

    def test_nothing_to_replace(self):
        self.export("--layernorm", "plugin")
        self.replace(GRAPH, "out.onnx", status=3)
        self.assertIn("holds no LayerNorm", self.stderr)
        self.assertFalse(os.path.exists(self.path("out.onnx")))

    def test_wrong_use(self):
        self.export()
        before = self.content(GRAPH)
        self.replace(GRAPH, GRAPH, status=2)
        self.assertIn("over itself", self.stderr)
        self.assertEqual(self.content(GRAPH), before)
        self.replace(GRAPH, status=2)
        self.run_clipc("onnx", status=2)
        self.run_clipc("onnx", "other", "a", "b", status=2)
        self.replace("missing.onnx", "out.onnx", status=3)
        self.assertIn("missing.onnx", self.stderr)

    def test_weights_are_not_replaced(self):
        self.export("--external-data")
        before = self.content(GRAPH + ".data")
        os.symlink("graphs/clip_visual.onnx.data", self.path("link"))
        for name in (GRAPH + ".data", "link", "./graphs/../graphs/clip_visual.onnx.data"):
            self.replace(GRAPH, name, status=2)
            self.assertIn("holds weights of graphs/clip_visual.onnx", self.stderr)
            self.assertEqual(self.content(GRAPH + ".data"), before)
        self.write("graphs/other.data", "x")
        self.replace(GRAPH, "graphs/other.data")
        self.replace(GRAPH, "graphs/out.onnx")

    def test_broken_graph(self):
        self.export()
        with open(self.path("cut.onnx"), "wb") as file:
            file.write(self.content(GRAPH)[:-1000])
        self.replace("cut.onnx", "out.onnx", status=3)
        self.assertIn("no ONNX graph", self.stderr)
        self.assertEqual(sorted(os.listdir(self.path("."))), ["cut.onnx", "graphs"])


if __name__ == "__main__":
    main()
