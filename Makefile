.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

setup: $(READY) ## the environment in .venv

demo: setup ## the main job on data that needs no download; names its report
	$(BIN)/striate fit digits --per-class 20 --out runs/demo

test: setup ## the default suite, a few minutes on two cores
	$(BIN)/python -m pytest -q

check: setup ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

zoo: setup ## rebuild the table of networks that the package ships
	$(BIN)/python -m striate.jobs.zoo

bench: setup ## the benchmarks; figures go to benchmarks/results.jsonl
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

.PHONY: help setup demo test check zoo bench
