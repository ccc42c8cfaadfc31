# Every target first sets up what it needs in .venv, once, with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
FUSION := .venv-fusion
BIN := $(VENV)/bin
# the documentation's blocks of Python
BLOCKS := $(VENV)/blocks
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
LOCK := --constraint constraints.txt --build-constraint constraints.txt

# The indexes that a machine is configured for are used, its other wishes are not.
unexport PIP_BUILD_CONSTRAINT PIP_CONSTRAINT PIP_PREFIX PIP_REQUIRE_HASHES PIP_REQUIREMENT PIP_TARGET PIP_USER
unexport UV_BUILD_CONSTRAINT UV_CONSTRAINT UV_OVERRIDE UV_PYTHON UV_REQUIRE_HASHES UV_RESOLUTION
# Without bytecode on disk, each process of the tests compiles dlt, and pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-fusion check test static pytest costs fusion test-latest test-oldest interop bench live soak scale subsets record compare picture format lock clean

help: ## Show this help
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

demo: $(VENV)/.demo ## Load 336,776 flights with dlt and build them with dbt, offline
	@$(BIN)/python examples/load_and_transform.py

demo-fusion: $(VENV)/.demo ## Build the same on dbt Core and dbt Fusion, with a failure and its retry
	@$(BIN)/python examples/both_engines.py

check: $(VENV)/.dev ## Check format, lint, types, and run all tests without real dbt (ARGS='-x' for pytest)
	$(call side_by_side,-m 'not dbt and not fusion')

test: $(VENV)/.dev ## Check all of that, and run the tests of real dbt Core too
	$(call side_by_side,)

costs: $(VENV)/.dev ## Run the tests and report their CPU seconds by kind (ARGS='-m "not dbt"' for some)
	@$(BIN)/python -m pytest -p tests.support.costs $(ARGS)

fusion: $(VENV)/.dev ## Run the tests on dbt Fusion, which it installs from PyPI and npm
	@$(BIN)/python examples/install_fusion.py $(FUSION)
	@$(BIN)/python -m pytest -m fusion $(ARGS)

test-latest: $(VENV)/.uv ## Run the tests with the newest versions that pyproject.toml allows
	$(call test_with,.venv-latest,highest)

test-oldest: $(VENV)/.uv ## Run the tests with the lowest versions (PYTHON=python3.10 is the lowest Python)
	$(call test_with,.venv-oldest,lowest-direct)

interop: $(VENV)/.dev ## Run eight other clients and three orchestrators against the emulator (ARGS='dbtc tap' for some)
	@$(BIN)/python -m tests.interop.run $(ARGS)

bench: $(VENV)/.dev ## Measure side by side with dlt.helpers.dbt_cloud
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.results
	@$(BIN)/python -m benchmarks.narrowing
	@$(BIN)/python -m benchmarks.steps
	@$(BIN)/python -m benchmarks.report
	@$(BIN)/python -m benchmarks.checks
	@$(BIN)/python -m benchmarks.emulator

live: $(VENV)/.dev ## Measure live pages during runs of 2,000 models, in about ten minutes (ARGS='--models 200')
	@$(BIN)/python -m benchmarks.live $(ARGS)

soak: $(VENV)/.dev ## Run a thousand calls with 30 % faulty answers, for five minutes at most (SEED=7 CALLS=200)
	@$(BIN)/python -m benchmarks.soak $(if $(SEED),--seed $(SEED)) $(if $(CALLS),--calls $(CALLS))

scale: $(VENV)/.dev ## Simulate a thousand calls at the limit of requests (SCENARIOS='alone lost' DURATION=300)
	@$(BIN)/python -m benchmarks.scale $(SCENARIOS) $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED))

subsets: $(VENV)/.dev ## Build every set of the five tables alone, with real dbt, in about five minutes
	@$(BIN)/python -m benchmarks.subsets

format: $(VENV)/.dev ## Format the code and fix lint findings
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

record: $(VENV)/.dev ## Record the runs of dbt Core, and of dbt Fusion if it is installed, in the tests again
	@$(BIN)/python -m tests.support.dbt.record $(ARGS)

compare: $(VENV)/.dev ## Compare all recordings with real dbt Core, in about two minutes
	@$(BIN)/python -m pytest --compare $(ARGS)

picture: $(VENV)/.dev ## Take the picture of the page of a run for docs/ again, with an installed Chromium
	@$(BIN)/python -m tests.support.docs.picture

lock: $(VENV)/.uv ## Pin the newest versions of all dependencies in constraints.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate \
		--all-extras --group setup --group examples --group dev \
		--custom-compile-command 'make lock' --output-file constraints.txt pyproject.toml

clean: ## Remove the environments and all other generated files
	rm -rf $(VENV) $(FUSION) .venv-latest .venv-oldest .demo .interop .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit("dlt-dbtcloud needs Python 3.10 or newer, this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)") if sys.version_info < (3, 10) else None'
	@echo "Creating $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing uv, the installer ..."
	@$(PIP) install --constraint constraints.txt uv || echo "uv is not available here."
	@touch $@

$(VENV)/.demo: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "Installing dlt, dbt Core, DuckDB and the flights ..."
	@$(call install,--editable '.[local]' --group examples)
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "Installing pytest, mypy, ruff and what else the checks need ..."
	@$(call install,--group dev)
	@touch $@

# Runs the tests, and beside them what needs one core for half a minute, whose output comes last.
define side_by_side
@echo "Checking format, lint and types, and running the tests ..."
@$(MAKE) --no-print-directory -j2 static pytest SELECTED="$(1)"; code=$$?; cat $(VENV)/.static.txt; exit $$code
endef

static: $(VENV)/.dev
	@{ failed=0; $(BIN)/ruff format --check . || failed=1; $(BIN)/ruff check . || failed=1; \
		$(BIN)/python -m tests.support.docs.pages $(BLOCKS); \
		$(BIN)/mypy dlt_dbtcloud tests examples benchmarks $(BLOCKS) || failed=1; \
	} >$(VENV)/.static.txt 2>&1; exit $$failed

pytest: $(VENV)/.dev
	@$(BIN)/python -m pytest $(SELECTED) $(ARGS)

# pip takes five times as long, but knows indexes that uv is not configured for
define install
$(BIN)/uv pip install --quiet --python $(BIN)/python $(LOCK) $(1) || { \
	echo "uv failed; trying pip, which takes about a minute ..."; \
	$(PIP) install --constraint constraints.txt pip && $(PIP) install $(LOCK) $(1); }
endef

define test_with
@echo "Installing the versions to test ($(2)) in $(1) ..."
@$(PYTHON) -m venv --clear --without-pip $(1)
@$(BIN)/uv pip install --quiet --upgrade --resolution $(2) --python $(1)/bin/python \
	--editable '.[local,openlineage]' --group examples --group dev
@$(BIN)/uv pip list --quiet --python $(1)/bin/python --format freeze | \
	grep -E '^(dlt|dbt-core|dbt-duckdb|duckdb|jsonschema|openlineage-python|requests|urllib3|werkzeug)='
@$(1)/bin/python -m tests.support.docs.pages $(1)/blocks
@$(1)/bin/python -m mypy $(1)/blocks
@$(1)/bin/python -m pytest $(ARGS)
endef
