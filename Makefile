# What a newcomer types. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
READY := $(VENV)/.ready
BUILT := $(VENV)/.built

NATIVE_SOURCES := CMakeLists.txt pyproject.toml $(shell find plugins cmake -type f 2>/dev/null)
CXX_SOURCES := $(shell find plugins tests/native -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' 2>/dev/null)

.PHONY: help build demo test lint format wheel clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): constraints.txt pyproject.toml
	@echo "installing the tools and libraries into $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) numpy pillow safetensors typer rich scikit-build-core cmake ninja
	$(PIP) onnx onnxscript onnxruntime
	$(PIP) build clang-format==23.1.5 hypothesis mypy==2.4.1 pytest pytest-timeout ruff==0.17.6
	@touch $@

$(BUILT): $(READY) $(NATIVE_SOURCES)
	@echo "building the native part"
	$(PIP) --no-build-isolation --no-deps --editable .
	@touch $@

build: $(BUILT) ## install everything into .venv and build the native part

demo: build ## distill, evaluate, export and draw the embedded data (at most ten minutes on two cores)
	$(BIN)/python -m gsdd_runtime.demo --out demo

test: build ## run the tests
	$(BIN)/python -m pytest

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

format: $(READY) ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

wheel: build ## build a wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean: ## remove what was built, not the environment
	rm -rf build build-* dist demo $(BUILT)
