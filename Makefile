# The door. CMake does the work; every target can be run on a machine that has only git and make.
#
#   make          set up and build the optimised program: build/clipc
#   make demo     classify the sample images with the embedded model
#   make check    every test: gcc and clang with warnings as errors, sanitizers, fuzz targets, installed library
#   make check-aarch64   the same tests of kernels and towers, cross-built for aarch64 and run under qemu-user
#   make release  the program as it is given away: the cuda backend with every architecture, stripped: build-release/clipc
#   make cuda     the program with the cuda backend and warnings as errors: build-cuda/clipc
#   make gpu-bundle   a folder with the device tests, to be carried to a machine with a GPU: build-cuda-bundle
#   make check-gpu    runs them here (says so and passes where there is no device)
#   make eval     top-1 of the demo model on models/demo/eval (PRECISION=fp32)
#   make check-parity   make the golden files anew with PyTorch and transformers, and compare
#   make check-interop  every model format against the library it belongs to (writes the table of docs/formats.md),
#                        exported graphs in ONNX Runtime and OpenVINO, and TensorRT-RTX building engines of them
#   make install  PREFIX=/usr/local

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
PRECISION ?= fp32
VENV := build-venv
PARITY_VENV := build-venv-parity
# Where there is a device, tests of the program still mean the CPU; make check-gpu tests the device.
CTEST := CUDA_VISIBLE_DEVICES= ctest --output-on-failure -j $(JOBS) --no-tests=error
LABELS := cat,dog,horse,elephant,fish,butterfly,apple,tree,house,car,clock,camera,guitar,cat and dog,yellow star,two green triangles

.PHONY: all demo check check-release check-sanitizers check-threads check-fuzz check-aarch64 check-parity eval install clean
.PHONY: setup setup-check

all: build/clipc

setup:
	@scripts/setup.sh build

setup-check:
	@scripts/setup.sh check
	@scripts/python_venv.sh $(VENV) tests/parity/requirements.txt

.PHONY: build/clipc
build/clipc: setup
	@cmake --preset release -G Ninja > build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
	@grep "cuda backend is left out" build-configure.log || true
	@rm -f build-configure.log
	@cmake --build build --target clipc_program clipc_shared clipc_pages -j $(JOBS)

demo: build/clipc
	@build/clipc classify models/demo/samples/*.png --labels "$(LABELS)" --template "a picture of a {}" --top 3

check: setup-check check-release check-sanitizers check-threads check-fuzz check-aarch64
	@echo "make check: every part passed"

check-release: setup-check
	nvcc=$$(scripts/setup_cuda.sh build-cuda-toolkit) && cmake --preset check -G Ninja -DCLIPC_NVCC="$$nvcc" -DCLIPC_PYTHON="$(CURDIR)/$(VENV)/bin/python"
	cmake --build build-check -j $(JOBS)
	$(CTEST) --test-dir build-check

check-sanitizers: setup-check
	cmake --preset asan -G Ninja
	cmake --build build-asan -j $(JOBS)
	$(CTEST) --test-dir build-asan

check-threads: setup-check
	cmake --preset tsan -G Ninja
	cmake --build build-tsan -j $(JOBS)
	$(CTEST) --test-dir build-tsan -L threads

check-fuzz: setup-check
	cmake --preset fuzz -G Ninja
	cmake --build build-fuzz --target fuzz_targets -j $(JOBS)
	$(CTEST) --test-dir build-fuzz -R "^fuzz"

# Left out are the tests that take minutes under emulation. Where kernels are chosen is run again on a processor that
# has dot products of bytes but no bf16, and on one that has neither.
check-aarch64:
	@scripts/setup.sh aarch64
	@scripts/aarch64_sysroot.sh build-aarch64-sysroot
	cmake --preset aarch64 -G Ninja
	cmake --build build-aarch64 -j $(JOBS)
	$(CTEST) --test-dir build-aarch64 -R "^(checkkernel|unit|golden)" -E "golden.demo|engine_(file|tap)|keep_precise|test_tuning"
	for processor in neoverse-n1 cortex-a72; do QEMU_CPU=$$processor $(CTEST) --test-dir build-aarch64 \
	    -R "^(unit.test_(cpu|engine$$|round)|golden.odd)" || exit 1; done

check-parity: setup-check all
	@scripts/python_venv.sh $(PARITY_VENV) tests/parity/requirements-torch.txt
	tests/parity/run_parity.sh $(PARITY_VENV)/bin/python build

# TensorRT's LayerNorm plugin, from the headers below TENSORRT_ROOT: prints the library's path.
.PHONY: plugin
plugin:
	@scripts/setup.sh check >&2
	@nvcc=$$(scripts/setup_cuda.sh build-cuda-toolkit) && cmake --preset cuda -G Ninja -B build-trt -DCLIPC_NVCC="$$nvcc" \
	    -DTENSORRT_ROOT=$(TENSORRT_ROOT) >&2 && cmake --build build-trt --target clipc_trt_plugins -j $(JOBS) >&2
	@echo build-trt/src/libclipc_trt_plugins.so

# Models whose golden files other scripts compare.
NOT_EXPORTED := $(addprefix %/,siglip siglip_fp16 siglip_one_patch)
# INTEROP_PYTHON=…/bin/python uses an environment that is there. A run that ended early goes on where it was.
.PHONY: check-interop
check-interop: setup-check all
	@[ -n "$(INTEROP_PYTHON)" ] || scripts/python_venv.sh build-venv-interop tests/interop/requirements.txt
	$(or $(INTEROP_PYTHON),build-venv-interop/bin/python) tests/interop/interop.py build/clipc --large --keep build/interop.json --write docs/formats.md
	$(or $(INTEROP_PYTHON),build-venv-interop/bin/python) tests/interop/onnx_export.py build/clipc demo siglip $(filter-out $(NOT_EXPORTED),$(wildcard tests/golden/models/*))
	$(or $(INTEROP_PYTHON),build-venv-interop/bin/python) tests/interop/onnx_quantize.py build/clipc demo tests/golden/models/odd_widths
	$(or $(INTEROP_PYTHON),build-venv-interop/bin/python) tests/interop/onnx_plugin.py build/clipc $(if $(TENSORRT_ROOT),$$($(MAKE) -s plugin))
	$(MAKE) check-tensorrt-rtx

# TensorRT-RTX builds engines of the exported graphs with no GPU; its wheels are for Linux on x86-64 only.
.PHONY: check-tensorrt-rtx
check-tensorrt-rtx: all
	@if [ "$$(uname -sm)" != "Linux x86_64" ]; then echo "TensorRT-RTX: left out, there are no wheels for $$(uname -sm)"; else \
	    scripts/python_venv.sh build-venv-tensorrt-rtx tests/interop/requirements-tensorrt-rtx.txt && \
	    build-venv-tensorrt-rtx/bin/python tests/interop/tensorrt_rtx.py build/clipc demo \
	        $(addprefix tests/golden/models/,fp16 odd_widths siglip siglip_one_patch open_clip_resnet); fi

eval: build/clipc
	@scripts/eval.sh build/clipc $(PRECISION)

install: build/clipc
	@cmake --build build --target clipc_static -j $(JOBS)
	cmake --install build --prefix $(PREFIX)

clean:
	rm -rf build build-*

# clipc beside OpenVINO, ONNX Runtime and PyTorch (ROWS=image-bf16 for some rows only)
.PHONY: bench-peers
bench-peers: build/clipc
	@scripts/python_venv.sh build-venv-peers bench/requirements.txt
	build-venv-peers/bin/python bench/peers.py --clipc build/clipc --rows "$(ROWS)"

# The cuda backend in a folder of its own; nvcc comes from the machine or from Python wheels.
.PHONY: cuda gpu-bundle check-gpu release
# The wheels' compiler wants Python.
release:
	@scripts/setup.sh cuda
	@nvcc=$$(scripts/setup_cuda.sh build-cuda-toolkit) && cmake --preset fat -G Ninja -DCLIPC_NVCC="$$nvcc"
	@cmake --build build-release --target clipc_program clipc_shared clipc_pages -j $(JOBS)
	@strip build-release/clipc
	@ls -l build-release/clipc

cuda: setup-check
	@nvcc=$$(scripts/setup_cuda.sh build-cuda-toolkit) && cmake --preset cuda -G Ninja -DCLIPC_NVCC="$$nvcc"
	@cmake --build build-cuda -j $(JOBS)

gpu-bundle: cuda
	@scripts/gpu_bundle.sh build-cuda build-cuda-bundle

check-gpu: gpu-bundle
	scripts/check_gpu.sh build-cuda-bundle
