# Two commands set themselves up on a fresh machine with Python and make: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
BUNDLE ?=
VIDEO ?= assets/sample.mp4
SOUND ?= build/sample.mdsgen.mp4

.PHONY: run test lint pytest slow fuzz kills soak lean gpu clean

run: $(VENV)/.lean ## Give VIDEO its sound, with the demo model or that of BUNDLE
	mkdir -p $(dir $(SOUND))
	$(BIN)/mdsgen-run $(VIDEO) $(if $(BUNDLE),--bundle $(BUNDLE)) --output $(SOUND)

test: lint pytest lean ## Everything that is checked before a change lands

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/typecheck.py
	$(BIN)/python tests/contracts.py

pytest: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

slow: $(VENV)/.installed ## Tests of the published sizes, which take a minute and 4 GB
	$(BIN)/python -m pytest -m slow

fuzz: $(VENV)/.installed ## Damaged input of every kind by the thousand, in child processes: a table of what came of it
	$(BIN)/python -m tests.fuzz

kills: $(VENV)/.installed ## 400 commands killed at random moments and run again
	$(BIN)/python -m tests.kills --count 80

soak: $(VENV)/.installed ## 1000 clips and 200 pipelines in one process, 8 threads on one
	$(BIN)/python -m tests.soak

gpu: $(VENV)/.installed ## All that only a GPU can show, in parts; TensorRT, pycuda and cuda-bindings are there already
	$(BIN)/python -m tests.gpu

lean: ## The device's part alone, without PyTorch and ONNX: with the lowest versions, and with the newest
	sh tests/lean.sh 3.10=tests/lowest.txt 3.12

$(VENV)/.lean: pyproject.toml $(VENV)/.made
	@echo "installing mdsgen into $(VENV)"
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@echo "installing mdsgen with what develops and tests it (PyTorch among it) into $(VENV)"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit("mdsgen needs Python 3.10 or newer" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

clean:
	rm -rf build .venv .venv-lean-*
