# Everything runs in .venv, made on first use. Needs Python 3.10 or later, make and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AWSCLI := .venv-awscli/bin/aws

.PHONY: help demo test lint unit bench schema man clean

help:
	@echo 'make demo   the main job, told step by step; no AWS account, no desktop'
	@echo 'make test   all checks: linters, types, import contracts, tests'
	@echo 'make bench  what it costs, beside bare scripts that do the same'
	@echo 'make schema write config.schema.json anew from the table of keys'
	@echo 'make man    write the man page anew from the words of --help'
	@echo 'make clean  remove what make has made'

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable .
	touch $@

# AWS CLI v1, a client of the tests, pins a botocore of its own.
$(AWSCLI):
	$(PYTHON) -m venv .venv-awscli
	.venv-awscli/bin/python -m pip install --quiet --disable-pip-version-check awscli

demo: $(INSTALLED)
	@$(BIN)/python tests/support/demo.py

test: lint unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for platform in linux darwin win32; do $(BIN)/mypy --platform $$platform || exit 1; done
	$(BIN)/lint-imports --no-logo || $(BIN)/lint-imports

unit: $(INSTALLED) $(AWSCLI)
	$(BIN)/python -m pytest -n 4 --dist worksteal -m 'not alone'
	$(BIN)/python -m pytest -m alone

# It keeps its own venvs in .venv-bench: credhelper from a wheel, and other helpers to compare with.
bench: $(INSTALLED)
	@$(BIN)/python tests/support/bench.py

schema: $(INSTALLED)
	$(BIN)/python -m credhelper.config.json_schema > credhelper/config.schema.json

man: $(INSTALLED)
	$(BIN)/python packaging/man/render.py > packaging/man/credhelper.1

clean:
	rm -rf $(VENV) .venv-awscli .venv-bench dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
