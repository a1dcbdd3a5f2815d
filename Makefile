# `make quickstart` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
RUN := runs/quickstart
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist=$(DIST)
DIST ?= loadfile
SEED ?= $(shell date +%s)

.PHONY: help quickstart test check tests fuzz lint types format docs clean

help:
	@echo "make quickstart  train a small model, plot its exits, label three sentences"
	@echo "make test        lint, types, documentation and tests, as CI runs them"
	@echo "make check       lint and the tests that are not slow"
	@echo "make fuzz        the property tests on many random examples; SEED repeats a run"
	@echo "make lint        ruff's checks and its formatting"
	@echo "make types       pyright"
	@echo "make format      fix what ruff can fix"
	@echo "make docs        the documentation, into build/site; warnings are errors"
	@echo "make clean       remove .venv, caches and $(RUN)"
	@echo
	@echo "PYTHON=python3.12 names another Python; WORKERS=8 runs more tests at once."
	@echo "pip's own configuration is honoured. On Linux the default torch, which only"
	@echo "the tests need, brings CUDA libraries (some GB): point PIP_EXTRA_INDEX_URL"
	@echo "at PyTorch's CPU wheels to do without."

quickstart: .venv/installed
	$(BIN)/python -m elbert_jax.train --config=configs/quickstart.py --workdir=$(RUN)
	$(BIN)/python -m elbert_jax.evaluate --model=$(RUN)/model --task=synthetic \
	  --split=test --by=grade --plot=$(RUN)/exit_curve.png
	$(BIN)/python -m elbert_jax.predict --model=$(RUN)/model \
	  --input=configs/quickstart.txt --output=- --with_text

# The last to end is pytest, whose closing line .ci/run shows.
test: lint
	$(MAKE) --no-print-directory --jobs=2 tests types docs

# The tests of exactness run twice: first with LLVM's optimisations, as users run the
# programs, then without, as tests/conftest.py has all tests.
tests: .venv/installed-dev
	JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(PYTEST) -m exactness
	$(PYTEST)

check: lint
	$(PYTEST) -m "not slow"

fuzz: .venv/installed-dev
	$(PYTEST) -m hypothesis --hypothesis-profile=random --hypothesis-seed=$(SEED)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed-dev
	$(BIN)/pyright

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info $(RUN)
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is not Python 3.11 or newer; name one that is:" \
	    "make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }

INSTALL := $(BIN)/python -m pip install --no-compile -c constraints.txt
# compileall uses all cores, pip one. Left out is what nobody imports, a third of 17,000
# files; `true`, as some are templates and not valid Python.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/tests/|/transformers/models/[b-z]' \
  .venv/lib || true

# The stamps: an installation is made once, and again when what it needs changes.
.venv/installed: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	$(INSTALL) -e .
	@$(COMPILE)
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/pyvenv.cfg
	$(INSTALL) -e '.[dev,torch]'
	@$(COMPILE)
	@touch $@ .venv/installed
