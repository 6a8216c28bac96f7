# Everything runs in .venv, made on first use. Needs Python 3.10 or later, make and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AWSCLI := .venv-awscli/bin/aws
DRIFT := .venv-drift
LOCK := .venv-lock
PIP := -m pip --quiet --disable-pip-version-check install
MODEL_TESTS := tests/unit/config tests/e2e/assume/test_api_docs.py
DRIFT_TESTS := $(MODEL_TESTS) tests/e2e/cli/test_get.py tests/e2e/aws/test_moto.py tests/e2e/test_sdks.py

.PHONY: help demo test lint unit e2e bench drift lock schema man clean

help:
	@echo 'make demo   show what credhelper does; needs no AWS account and no desktop'
	@echo 'make test   run all checks: linters, types, import contracts, tests'
	@echo 'make lint   run linters, types and import contracts only'
	@echo 'make unit   run the unit tests only: no process, no server, under a minute'
	@echo 'make e2e    run the end-to-end tests only'
	@echo 'make bench  measure the speed next to bare scripts that do the same'
	@echo 'make drift  run the comparisons with the newest versions of everything'
	@echo 'make lock   write constraints.txt: the newest versions that fit pyproject.toml'
	@echo 'make schema write config.schema.json from the table of keys'
	@echo 'make man    write the man page from the text of --help'
	@echo 'make clean  remove what make has made'

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --constraint constraints.txt pip
	$(BIN)/python $(PIP) --constraint constraints.txt --build-constraint constraints.txt --group dev --editable .
	touch $@

# AWS CLI v1 is a client in the tests; a venv of its own keeps its 'aws' off the PATH of the others.
$(AWSCLI): constraints.txt
	$(PYTHON) -m venv .venv-awscli
	.venv-awscli/bin/python $(PIP) --constraint constraints.txt awscli
	touch $@

demo: $(INSTALLED)
	@$(BIN)/python tests/support/demo.py

test: lint unit e2e

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for platform in linux darwin win32; do $(BIN)/mypy --platform $$platform || exit 1; done
	$(BIN)/lint-imports --no-logo || $(BIN)/lint-imports

unit: $(INSTALLED)
	$(BIN)/python -m pytest -n 4 tests/unit

e2e: $(INSTALLED) $(AWSCLI)
	$(BIN)/python -m pytest -n 4 --dist worksteal -m 'not alone' tests/e2e
	$(BIN)/python -m pytest -m alone tests/e2e

# Installs credhelper from a wheel, and the helpers that it is compared with, in .venv-bench.
bench: $(INSTALLED)
	@$(BIN)/python tests/support/bench.py

# The newest versions, whatever constraints.txt says; prints what differs, then fails where a test does.
drift: $(AWSCLI)
	$(PYTHON) -m venv --clear $(DRIFT)
	$(DRIFT)/bin/python $(PIP) --upgrade pip
	$(DRIFT)/bin/python $(PIP) --upgrade --group dev --editable .
	@$(DRIFT)/bin/python tests/support/drift.py constraints.txt
	$(DRIFT)/bin/python -m pytest -n 4 $(DRIFT_TESTS)

# One file for every Python from 3.10 on and every system; a package that only some of them need has a marker.
lock:
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/python $(PIP) --upgrade uv
	echo awscli | $(LOCK)/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links --all-extras --group dev pyproject.toml - \
	  --output-file constraints.txt

schema: $(INSTALLED)
	$(BIN)/python -m credhelper.config.json_schema > credhelper/config.schema.json

man: $(INSTALLED)
	$(BIN)/python packaging/man/render.py > packaging/man/credhelper.1

clean:
	rm -rf $(VENV) $(LOCK) $(DRIFT) .venv-awscli .venv-bench dist build
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
