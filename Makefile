# make demo | test | test-all | lint | docs | bench | clean | help. The environment is made on first use and remade when
# pyproject.toml or constraints.txt change.

PYTHON ?= python3
VENV ?= .venv
# What test-all looks for: python3.11 and so on, each with an environment of its own (.venv311).
PYTHONS ?= 3.11 3.12 3.13
# Where pip finds torch's small CPU build on Linux; used only if it can be reached. Empty: never.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(VENV)/bin
STAMP := $(VENV)/.foedus-stamp
TOOLS := $(VENV)/.foedus-tools-stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-all lint format docs bench env clean help

demo: $(STAMP) ## train one model across twenty nodes and write report.html (under a minute)
	$(BIN)/foedus demo

# A file's tests stay together, for they share what is costly to make. Many start processes, each of which would compile
# foedus anew where Python is told to write no bytecode.
test: $(TOOLS) ## run the tests, and the examples in the docstrings, on all cores
	@$(BIN)/python -m compileall -q src
	$(BIN)/python -m pytest -n auto --dist loadfile --doctest-modules tests src

test-all: ## run the tests with each Python that foedus supports and that is installed
	@failed=; ran=; skipped=; \
	for v in $(PYTHONS); do \
	  python$$v -c 'import venv, ensurepip' 2>/dev/null || { skipped+=" $$v"; continue; }; \
	  echo "== Python $$v"; ran+=" $$v"; \
	  $(MAKE) --no-print-directory PYTHON=python$$v VENV=.venv$${v/./} test || failed+=" $$v"; \
	done; \
	echo "Python: tested:$${ran:- none}; failed:$${failed:- none}; skipped (no python3.x with venv):$${skipped:- none}"; \
	[ -n "$$ran" ] && [ -z "$$failed" ]

lint: $(TOOLS) ## style, types, and which way imports point
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TOOLS) ## put the code in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(TOOLS) ## build the documentation: docs/_build/html/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(TOOLS) ## compare the simulation's speed with the leanest loop
	$(BIN)/python benchmarks/simulation.py

env: $(TOOLS) ## make the environment and nothing else

# torch goes first and alone: the constraint names the version, the index the build without CUDA.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "foedus needs Python 3.11 or newer, and $(PYTHON) is not:" \
	    "install one and run e.g. 'make PYTHON=python3.12 $(MAKECMDGOALS)'" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make environments: its venv module is missing" \
	    "(on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@[ -x $(BIN)/python ] || { echo "making the environment in $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@index=; \
	  if [ -n "$(TORCH_INDEX)" ] && $(PYTHON) -c \
	    'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5)' \
	    "$(TORCH_INDEX)" 2>/dev/null; then index="--extra-index-url $(TORCH_INDEX)"; fi; \
	  echo "installing torch (about 200 MB, once)"; \
	  $(PIP) install -c constraints.txt $$index torch
	@echo "installing foedus"
	@$(PIP) install -c constraints.txt -e .
	@touch $@

# What tests, style and pages need besides: the demonstration can do without.
$(TOOLS): $(STAMP)
	@echo "installing what tests and tools need"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

clean: ## remove the environment, caches and what was built
	rm -rf $(VENV) $(foreach v,$(PYTHONS),.venv$(subst .,,$(v))) build dist docs/_build docs/api .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'
