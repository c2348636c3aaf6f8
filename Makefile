# Penstock: every command that a newcomer needs. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-all test-slow bench lint wheel clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.penstock-setup
LOG := $(VENV)/setup.log
# Another Python than the first fitting one: make setup PYTHON=/path/to/python3.12
PYTHON ?=
# More arguments for the command or for pytest: make demo ARGS="--weeks 2"
ARGS ?=

help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## .venv from constraints.txt, and Delta's jars in their cache
	@$(BIN)/python -m penstock.lake.jars $${PENSTOCK_CACHE:+"$$PENSTOCK_CACHE"}

demo: setup ## a year of a real shop through the whole loop (about 10 minutes)
	@$(BIN)/penstock demo $(ARGS)

test: setup ## all tests but the slow ones (under 15 minutes)
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: setup ## the slow tests alone: every kill point, the whole demo, the wheel
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-all: setup ## all tests
	@$(BIN)/python -m pytest $(ARGS)

bench: setup ## measurements, one file a stage, written to bench/results
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[bench]'
	@for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file" $(ARGS); done

lint: $(STAMP) ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

wheel: $(STAMP) ## dist/penstock-VERSION-py3-none-any.whl
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## removes builds and caches; .venv and lakehouse/ stay
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find src tests jobs bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on the PATH may be a shim that does not run, so each is asked for its version.
$(STAMP): pyproject.toml constraints.txt
	@python=''; \
	for name in $(or $(PYTHON),python3 python3.12 python3.11); do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  python=$(or $(PYTHON),python3); \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || { \
	    echo "Python: found none that runs as $$python or is 3.8 at least, Penstock needs 3.11 or 3.12; install one (sudo apt-get install -y python3.12 python3.12-venv || sudo apt-get install -y python3.11 python3.11-venv) and repeat with make setup PYTHON=python3.12." >&2; exit 2; }; \
	fi; \
	"$$python" src/penstock/preflight.py; \
	if ! $(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' >/dev/null 2>&1; then \
	  "$$python" -m venv --clear $(VENV); \
	fi; \
	echo "Installing the packages of constraints.txt into $(VENV) (a few minutes the first time; log: $(LOG)) ..."; \
	if ! $(BIN)/python -m pip install --disable-pip-version-check --no-input --retries 3 -c constraints.txt -e '.[local,dev]' >$(LOG) 2>&1; then \
	  if grep -qE 'Retrying|Max retries|ConnectionError|Temporary failure in name resolution|No matching distribution|ReadTimeout|SSLError' $(LOG); then \
	    echo "Package registry: found none that answers with all packages (log: $(LOG)), Penstock needs one for its first set-up; check the network, or name a mirror with \`export PIP_INDEX_URL=URL\`, and run \`make setup\` again." >&2; \
	  elif grep -q 'No space left on device' $(LOG); then \
	    echo "Disk: found it full while installing (log: $(LOG)), Penstock needs 3 GB; make room and run \`make setup\` again." >&2; \
	  else \
	    echo "Installing: found pip stopped with «$$(grep -E '^ *(ERROR|error)' $(LOG) | tail -n 1 | cut -c1-160)» (log: $(LOG)), expected all of constraints.txt; mend that and run \`make setup\` again." >&2; \
	  fi; \
	  exit 2; \
	fi; \
	touch $@
