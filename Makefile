# Every target first sets up what it needs in .venv, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test bench soak subsets format clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.demo ## Load 336,776 flights with dlt and build them with dbt, offline
	@$(BIN)/python examples/load_and_transform.py

test: $(VENV)/.dev ## Check everything: format, lint, types, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest

bench: $(VENV)/.dev ## Measure side by side with dlt.helpers.dbt_cloud
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.results

soak: $(VENV)/.dev ## Run a thousand calls with 30 % faulty answers, for five minutes at most
	@$(BIN)/python -m benchmarks.soak

subsets: $(VENV)/.dev ## Build every set of the five tables alone, with real dbt, in about five minutes
	@$(BIN)/python -m benchmarks.subsets

format: $(VENV)/.dev ## Format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove the environment and all that was made
	rm -rf $(VENV) .demo .interop .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.pip:
	@$(PYTHON) -c 'import sys; sys.exit("dlt-dbtcloud needs Python 3.10 or newer, this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)") if sys.version_info < (3, 10) else None'
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install 'pip>=25.1'
	@touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	@$(PIP) install --editable '.[local]' --group examples
	@touch $@

$(VENV)/.dev: $(VENV)/.demo pyproject.toml
	@$(PIP) install --editable '.[local]' --group examples --group dev
	@touch $@
