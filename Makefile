# Everything sets itself up: a virtual environment in .venv from a bare Python 3.11-3.13, then the work.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= pretrained,test,dev
CONSTRAINTS ?=
SUITE ?= demo
JOBS ?= 2
BUILTIN_WORK ?= runs/builtin

# The first of these that is a Python 3.11-3.13; say PYTHON=... for another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help demo test lint format notebooks notebooks-check bench evidence builtin mutants lock dist install clean

help:
	@echo "make demo       run the whole suite on a synthetic set (about twelve minutes); results in runs/demo"
	@echo "make test       run the tests"
	@echo "make lint       ruff, format, types, notebooks in step with their sources"
	@echo "make notebooks  regenerate the .ipynb files from notebooks/*.py"
	@echo "make bench      the benchmarks, rivals beside"
	@echo "make evidence   the long proofs, outside CI (hours)"
	@echo "make builtin    the model that the package ships, from synthetic EEG alone (half an hour; resumes)"
	@echo "make mutants    wrong changes, one by one: every one must make a test fail (about half an hour)"
	@echo "make dist       the wheel and the source archive, in dist/"
	@echo "make lock       pin the versions in .venv in requirements-lock.txt"

$(VENV)/.installed: requirements.txt pyproject.toml $(CONSTRAINTS)
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found; install one or say make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable ".[$(EXTRAS)]"
	@touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/hbac run $(SUITE)

# Two processes, each with whole files of tests: most of a test's time is one thread's. The longest file begins (see
# tests/conftest.py), so that no process waits for the other one's last file.
test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: install notebooks-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One direction only, source to notebook: jupytext's --sync goes by file times and may overwrite the newer file.
notebooks: install
	$(BIN)/python tests/notebooks/check_pairs.py --write

notebooks-check: install
	$(BIN)/python tests/notebooks/check_pairs.py

bench: install
	$(BIN)/python -m pytest tests/benchmarks --override-ini addopts="-ra --strict-markers" -s $(PYTEST_ARGS)

# The networks run in a process of their own: tests of replicas set TensorFlow's devices for all that follow them.
# (pytest ends with 5 where PYTEST_ARGS choose none of a part's tests.)
evidence: install
	status=0; for part in "tests/models" "tests --ignore tests/models"; do \
	$(BIN)/python -m pytest $$part -m evidence --override-ini addopts="-ra --strict-markers" --timeout 20000 -s $(PYTEST_ARGS) \
	|| [ $$? = 5 ] || status=1; done; exit $$status

# Segments, trainings and the finished model of BUILTIN_WORK (some 10 GB) are not made again; REAL judges it, nothing else.
builtin: install
	$(BIN)/python -m hbaclib.builtin.make $(BUILTIN_WORK) --jobs $(JOBS) $(if $(REAL),--real $(REAL))

# Wrong changes, tried on a copy: what a test does not notice is printed as surviving, and the exit code is 1.
mutants: install
	$(BIN)/python -m tests.mutants.run --out tests/evidence/mutants.md $(MUTANTS)

lock: install
	{ echo "# The newest versions tested; written by \`make lock\`."; \
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ '; } > requirements-lock.txt

# The archive is built first, the wheel from it: what the archive lacks is missed here.
dist: install
	rm -rf dist build
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist runs *.egg-info
