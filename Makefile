# make demo and make test do all set-up by themselves, on a fresh machine too.

VENV ?= .venv
BIN  := $(VENV)/bin
JOBS ?= 2
DEMO := examples/mnist_mlp

.PHONY: help setup torch demo test slow bench lint clean

help:
	@echo "make demo   compile a trained MNIST network to C, verify it on 1000 images, run the C program"
	@echo "make test   the tests"
	@echo "make slow   full-size networks of the corpus, where it lies beside the repository"
	@echo "make bench  measure speed and size, and write docs/benchmarks.md"
	@echo "make lint   ruff and mypy --strict"
	@echo "make clean  remove what these made"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml scripts/setup.sh
	scripts/setup.sh $(VENV)
	@touch $@

torch: $(VENV)/.torch

$(VENV)/.torch: $(VENV)/.ready scripts/setup_torch.sh
	scripts/setup_torch.sh $(VENV)

demo: setup
	$(BIN)/bnncompile $(DEMO)/mnist_mlp.onnx -o build/mnist_mlp \
	    --input uint8 --scale 1/255 --mean 0.1307 --std 0.3081 --verify $(DEMO)/test_images.npz
	$(MAKE) -C $(DEMO) BUILD=$(CURDIR)/build/mnist_mlp
	build/mnist_mlp/digit $(DEMO)/digit.pgm

test: setup torch
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

slow: setup torch
	$(BIN)/python -m pytest -m slow $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

lint: setup torch
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
