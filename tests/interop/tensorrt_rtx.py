"""Builds engines of exported graphs with TensorRT-RTX, ahead of time and with no GPU.

    tensorrt_rtx.py CLIPC [MODEL]...

Both towers in fp32 and in fp16 are exported, parsed, and built for compute capability 8.9 with a profile of 1 to 8 items, 4 at
best. No engine is executed: that takes a card. Fails when a graph is not parsed or no engine comes of it. MODEL "demo"
is the embedded one.
"""
import pathlib
import subprocess
import sys
import tempfile

import tensorrt_rtx_bindings as trt

PROFILE = (1, 4, 8)


def build(path):
    """The size of the engine in bytes, or the sentences of the parser or builder."""
    said = []

    class Log(trt.ILogger):
        def __init__(self):
            trt.ILogger.__init__(self)

        def log(self, severity, message):
            if severity <= trt.ILogger.ERROR:
                said.append(message)

    logger = Log()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(path.read_bytes()):
        return [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    tensor = network.get_input(0)
    profile.set_shape(tensor.name, *[(items, *tensor.shape[1:]) for items in PROFILE])
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return engine.nbytes if engine is not None else said or ["no engine, and no reason given"]


def main():
    clipc, models = sys.argv[1], sys.argv[2:] or ["demo"]
    print(f"TensorRT-RTX {trt.__version__}: engines for compute capability 8.9, profile {PROFILE}; none is executed")
    good = True
    for model in models:
        for dtype in ("fp32", "fp16"):
            with tempfile.TemporaryDirectory() as folder:
                source = [] if model == "demo" else ["--model", model]
                subprocess.run([clipc, "export-onnx", *source, "--out-dir", folder, "--dtype", dtype, "--quiet"], check=True)
                for path in sorted(pathlib.Path(folder).glob("*.onnx")):
                    result = build(path)
                    good = good and isinstance(result, int)
                    text = f"engine of {result / 2**20:.1f} MiB" if isinstance(result, int) else "; ".join(result)
                    print(f"{pathlib.Path(model).name}, {path.name}, {dtype}: graph of {path.stat().st_size / 2**20:.1f} MiB, "
                          f"{text}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
