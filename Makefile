# `make` alone lists the targets. Each sets up .venv by itself; nothing but python3, pip, make and git is needed.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= quick
# of demo-interleaved: models of each kind; 0 for the profile's number
SEEDS ?= 0
# certificates of the system, as pip uses them: networks with their own authority work too
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help install demo demo-interleaved ablate-interleaved test soak check bench study planet-tiny clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

install: .venv/.installed ## create .venv with everything pinned in constraints.txt (about 6 GB, CUDA wheels of torch included)

# bytecode at once, as pip does it: where Python may not write it later, commands would start in twice the time
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install ## the main job on the synthetic planet: train, merge, classify (DEMO=full for the figures of docs/results.md)
	$(BIN)/geolangbind demo --profile $(DEMO)

demo-interleaved: install ## the interleaved encoder and its controls on the synthetic planet; 15 minutes on two CPU cores (DEMO=full: three seeds of more steps; SEEDS=n)
	$(BIN)/geolangbind demo-interleaved --profile $(DEMO) --seeds $(SEEDS)

ablate-interleaved: install ## what instruction, places and data size bring to the interleaved encoder (resumable)
	$(BIN)/geolangbind ablate-interleaved --profile $(DEMO)

test: install ## the test suite
	$(BIN)/python -m pytest

soak: install ## the slow tests too
	$(BIN)/python -m pytest -m 'soak or not soak'

check: install ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install ## benchmarks: ratios measured in one run
	$(BIN)/python benchmarks/encoder.py
	$(BIN)/python benchmarks/evaluate.py
	$(BIN)/python benchmarks/interleaved.py
	$(BIN)/python benchmarks/interleaved_gpu.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/merge.py
	$(BIN)/python benchmarks/planet_speed.py
	$(BIN)/python benchmarks/train.py

study: install ## what merging, MaKA, the cross-sensor term, virtual sensors and radar codes bring on the planet (about an hour; resumable)
	$(BIN)/geolangbind study --into docs/results.md

planet-tiny: install ## train the built-in model anew (DEMO=full) and put it into geolangbind/pretrained
	$(BIN)/geolangbind demo --profile full
	$(BIN)/geolangbind import runs/demo-full/joint --out geolangbind/pretrained/planet-tiny --dtype float16 --no-heads
	$(BIN)/geolangbind-evaluate model=planet-tiny suite=zero_shot suite.data=runs/demo-full/planet-val out=runs/planet-tiny
	$(BIN)/geolangbind card geolangbind/pretrained/planet-tiny --results runs/planet-tiny/results.jsonl --licence apache-2.0

clean: ## remove runs and caches, keep .venv
	rm -rf runs build *.egg-info .mypy_cache .ruff_cache
