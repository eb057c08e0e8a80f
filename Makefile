# Two commands set themselves up on a fresh machine with Python and make: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2
BUNDLE ?=
VIDEO ?= assets/sample.mp4
SOUND ?= build/sample.mdsgen.mp4
# setuptools warns of whatever is installed in place that a folder could be imported instead; here it is the same code.
QUIETLY := PYTHONWARNINGS='ignore:Editable installation'

.PHONY: help run test lint pytest slow fuzz kills soak lean arm containers gpu clean

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

run: $(VENV)/.lean ## Give VIDEO its sound, with the demo model or that of BUNDLE
	mkdir -p $(dir $(SOUND))
	$(BIN)/mdsgen-run $(VIDEO) $(if $(BUNDLE),--bundle $(BUNDLE)) --output $(SOUND)

test: lint pytest lean ## Everything that is checked before a change lands

lint: $(VENV)/.installed ## Style, types, and what may import what
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/typecheck.py
	$(BIN)/python tests/contracts.py

pytest: $(VENV)/.installed ## All tests but the slow ones
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

arm: $(VENV)/.installed ## The device's part on emulated Arm processors, compared with this one; takes packages of Debian
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.arm

containers: $(VENV)/.installed ## What the container files do, done without a container
	$(BIN)/python -m tests.containers

$(VENV)/.lean: pyproject.toml $(VENV)/.made
	@echo "installing mdsgen into $(VENV)"
	$(QUIETLY) $(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@echo "installing mdsgen with what develops and tests it (PyTorch among it) into $(VENV)"
	$(QUIETLY) $(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit("mdsgen needs Python 3.10 or newer" if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

clean: ## Remove all that was made and installed
	rm -rf build .venv .venv-lean-*
