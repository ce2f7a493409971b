# Everything happens in a virtual environment of its own; PYTHON may name another Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
USABLE := $(VENV)/.usable
READY := $(VENV)/.ready

# Two workers: the tests wait for processes more than they compute, and share few cores in CI.
WORKERS ?= 2

.PHONY: demo test lint bench matrix django-suite clean

demo: $(USABLE)
	$(VENV)/bin/azpg demo

test: $(READY)
	$(VENV)/bin/python -m pytest -n $(WORKERS)

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

bench: $(READY)
	$(VENV)/bin/python -m tests.benchmarks

# Every row takes an environment of its own; ROWS="--tags corners" are those that CI runs.
matrix: $(READY)
	$(VENV)/bin/python -m pip install --quiet --group matrix
	$(VENV)/bin/nox $(ROWS)

# Against Django's own engine; the server must be one with ICU, such as Debian's.
django-suite: $(READY)
	$(VENV)/bin/python -m tests.django_suite

clean:
	rm -rf $(VENV) .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(USABLE): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable ".[django,sandbox]"
	touch $(USABLE)

# pip learnt to install dependency groups with 25.1.
$(READY): $(USABLE)
	$(VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)/bin/python -m pip install --quiet --group dev
	touch $(READY)
