.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
OUT ?= runs/demo
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA ?= ../shared/data
CASES ?= ../shared/cases
PEERS := .peers
NETWORKS ?=

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

setup: $(READY) ## the environment in .venv

demo: setup ## the main job on data that needs no download; names its report
	$(BIN)/striate fit digits --per-class 20 --out $(OUT)

test: setup ## the default suite, a few minutes on two cores
	$(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist worksteal

slow: setup ## the long tests: kills, several processes, every row of every surface
	$(BIN)/python -m pytest -q -m "slow and not gpu and not network"

check: setup ## style, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

parity: setup $(PEERS)/.ready ## our networks against torchvision's, timm's and Keras'; NETWORKS="resnet50 vgg16" for some
	PYTHONPATH=$(PEERS) $(BIN)/python tests/parity/run.py $(NETWORKS)

$(PEERS)/.ready: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(PEERS) --no-deps --upgrade \
	  torchvision==0.28.0 timm==1.0.31 keras==3.15.1 absl-py namex optree ml-dtypes \
	  kornia==0.9.0 kornia-rs==0.2.0
	touch $@

fuzz: setup ## 100,000 damaged files, and the files below CASES that once broke a reader
	$(BIN)/python tests/fuzz/fuzz.py --cases 100000
	test ! -d $(CASES) || $(BIN)/python tests/fuzz/cases.py $(CASES)

zoo: setup ## rebuild the table of networks that the package ships
	$(BIN)/python -m striate.jobs.zoo

pages: setup ## rewrite docs/networks and the README's table of networks
	$(BIN)/python docs/pages.py

bench: setup $(PEERS)/.ready ## the benchmarks on the files below DATA; figures go to benchmarks/results.jsonl and the README
	$(BIN)/python benchmarks/decode.py --data $(DATA)/imagenet_samples/imagenet_samples.tar
	$(BIN)/python benchmarks/transfer_time.py --network mobilenet_v2 --data $(DATA)/photos-flowers/flowers5.tar
	$(BIN)/python benchmarks/transfer_time.py --network resnet50 --data $(DATA)/photos-flowers/flowers5.tar
	$(BIN)/python benchmarks/memory.py --cifar $(DATA)/cifar10
	$(BIN)/python benchmarks/photos.py --data-folder $(DATA)
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/networks.py
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/augment.py
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/train_step.py
	PYTHONPATH=$(PEERS) $(BIN)/python benchmarks/train_step.py --networks resnet50 --cut stage3 stage4
	$(BIN)/python benchmarks/tables.py

.PHONY: help setup demo test slow check parity fuzz zoo pages bench
