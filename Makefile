# Everything happens in a virtual environment of its own; PYTHON may name another Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/.ready

# Two workers: the tests wait for processes more than they compute, and share few cores in CI.
WORKERS ?= 2

.PHONY: demo test lint bench clean

demo: $(READY)
	$(VENV)/bin/azpg demo

test: $(READY)
	$(VENV)/bin/python -m pytest -n $(WORKERS)

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

bench: $(READY)
	$(VENV)/bin/python -m tests.benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# pip learnt to install dependency groups with 25.1.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install --quiet --editable . --group dev
	touch $(READY)
