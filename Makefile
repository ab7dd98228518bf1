# One command each: `make run` starts sourcebound, `make test` tests it. Needs Python 3.11 or newer with venv, no more.
# Every target that needs the environment rebuilds it when pyproject.toml or requirements.lock is newer than the stamp.

SHELL := /bin/bash
BIN := .venv/bin
STAMP := .venv/.installed
# A home without dagster.yaml: without it the one of this folder counts, which asks for a running database.
VALIDATION_HOME := $(CURDIR)/.make/dagster
PYTEST := $(BIN)/python -m pytest
# 3.11 first: it is what the lock was tested with. Each candidate is run, for a shim may exist without a Python behind it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: setup run test check validate slow corpus kills mutations bench lock clean

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "sourcebound needs Python 3.11 or newer with its venv module; set PYTHON=..." >&2; exit 1; }
	@echo "setting up .venv; the first time takes a few minutes and 1.5 GB"
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	exec $(BIN)/sourcebound up

# Test modules side by side, the tests of one in their order: most wait for processes of their own half the time.
test: setup
	$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not corpus"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory validate

# Whether all declarations load and fit together.
validate: setup
	@mkdir -p "$(VALIDATION_HOME)"
	DAGSTER_HOME="$(VALIDATION_HOME)" $(BIN)/dagster definitions validate -w workspace.yaml

slow: setup
	$(PYTEST) -m "slow and not corpus"

# All files of the corpus through the whole graph; SOURCEBOUND_CORPUS says where it is.
corpus: setup
	$(PYTEST) -m corpus

# SIGKILL at random instants while files are made; see benchmarks/kills.py.
kills: setup
	$(BIN)/python -m benchmarks.kills

# Thousands of files of the corpus made bad, through locked-down workers; see benchmarks/mutations.py.
mutations: setup
	$(BIN)/python -m benchmarks.mutations

# Every figure but those of `make kills` and `make mutations`, each beside its bar, into benchmarks/results.json. On a quiet machine.
BENCHMARKS := steps sensor orchestration overhead worker_memory full_use again contestants
bench: setup
	@status=0; for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name || status=1; done; \
		exit $$status

# Resolves pyproject.toml anew into requirements.lock: every version exact, with hashes, without index addresses.
lock: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-strip-extras --no-config --extra dev --extra bench pyproject.toml -o requirements.lock

# The state of a running sourcebound (.sourcebound, inbox) is not build output and stays.
clean:
	rm -rf .venv .make build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
