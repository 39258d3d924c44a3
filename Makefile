# `make demo` and `make test` do all their set-up themselves; `make help` lists the rest.
#
# This file keeps to GNU Make 3.81, which macOS ships, and every path in it is relative, because the
# name of the folder may contain a space. Which build of torch is right: scripts/setup_environment.py.

TORCH ?= auto

usable := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
candidates := python3.11 python3.12 python3.13 python3
PYTHON ?= $(shell for candidate in $(candidates); do \
	"$$candidate" -c "$(usable)" >/dev/null 2>&1 && echo "$$candidate" && break; done)

set_up := .venv/bin/python scripts/setup_environment.py --torch "$(TORCH)" --editable

# The tests' tensors are small: a second thread gains nothing, and costs threefold on a busy machine.
# A second process halves the time. A file's tests stay in one, for they share what is slow to make.
tests := OMP_NUM_THREADS=1 .venv/bin/python -m pytest
in_parallel := --numprocesses auto --maxprocesses 4 --dist loadfile

# The tests of the wheel make an environment of their own and must choose the same torch.
export TORCH
# Set-up leaves byte-compiling to the first import, which has to be allowed to keep its result;
# and nothing but the .venv decides what is imported.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH

.PHONY: help demo test check test-slow mutants clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s  %s\n", $$1, $$2 }' Makefile
	@echo "PYTHON=... names the Python to use (>= 3.11), TORCH=cpu or TORCH=cuda the build of torch;"
	@echo "after a change of either, run \`make clean\` first."

demo: .venv/ready-to-run ## train and evaluate one multi-task model on built-in data
	.venv/bin/polytask demo

test: .venv/ready-to-test ## all tests but the slow ones
	$(tests) $(in_parallel)

check: .venv/ready-to-test ## format, lint, types and import directions
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy
	$(tests) tests/project/test_import_directions.py

test-slow: .venv/ready-to-test ## the statistical tests, and the wheel in a clean environment
	$(tests) -m slow

# MUTANTS="--number 100 --seed 1 --rooms training" says which; scripts/mutants.py --help the rest.
mutants: .venv/ready-to-test ## break lines of the training code on purpose: do tests notice?
	OMP_NUM_THREADS=1 .venv/bin/python scripts/mutants.py $(MUTANTS)

clean: ## remove the environment, the caches and what was built
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +

# The stamps lie inside the environment: a new environment forgets both of them.
.venv/ready-to-run: pyproject.toml constraints.txt scripts/setup_environment.py
	@"$(PYTHON)" -c "$(usable)" 2>/dev/null || { echo "polytask needs a Python >= 3.11 that can\
	 import venv and ensurepip, but $(if $(PYTHON),$(PYTHON) is not one,none of $(candidates) is one):\
	 install one (Debian and Ubuntu: python3-venv) or name one with PYTHON=/path/to/python." >&2; exit 1; }
	"$(PYTHON)" -m venv --clear .venv
	$(set_up) .
	@touch $@

.venv/ready-to-test: .venv/ready-to-run
	$(set_up) ".[dev]"
	# Where packages come without bytecode each process of the tests compiles torch anew. Templates do not compile.
	-.venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1
	@touch $@
