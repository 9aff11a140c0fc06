# Each target does its own set-up, in .venv, with nothing but Python 3.11 or newer.
# A stamp file says that a set-up is complete; a change to pyproject.toml makes it stale.

PYTHON ?= python3
ARGS ?=

# Paths may have any letters, in any locale.
export PYTHONUTF8 := 1

VENV := .venv
PY := $(VENV)/bin/python
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
TORCH := $(VENV)/.torch
QAT := $(VENV)/.qat
DOCS := $(VENV)/.docs
LOCATION := $(VENV)/.location
UNFINISHED := $(VENV)-unfinished
SOURCES := pyproject.toml src/sterling/__init__.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test check format bench bench-qat bench-data docs clean distclean FORCE

help: ## show this list
	@echo "make TARGET [ARGS='...'] [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(CORE) ## measure the claims of the paper: a summary and a page, in minutes
	@$(PY) -m sterling reproduce --quick $(ARGS)

# Hundreds of processes import the package: with bytecode on disk, none has to compile it first.
test: $(DEV) $(TORCH) $(if $(WITH_QAT),$(QAT)) ## run the tests (PyTorch is the oracle of some)
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV) $(TORCH) ## lint, formatting, types, imports between rooms, layers of a run, and the package
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m pyright
	@$(VENV)/bin/lint-imports
	@$(PY) -m benchmarks.calls
	@rm -rf dist
	@$(PY) -m hatchling build >/dev/null
	@$(PY) -m twine check --strict dist/*

format: $(DEV) ## sort the imports and format the code
	@$(PY) -m ruff check --select I --fix
	@$(PY) -m ruff format

bench: $(CORE) $(TORCH) ## run the benchmarks, PyTorch beside them
	@$(PY) -m benchmarks $(ARGS)

bench-qat: $(DEV) $(QAT) ## train hundreds of small nets: what decoding is worth (hours; ARGS as in benchmarks/papers/qat)
	@$(PY) -m benchmarks.papers.qat $(ARGS)

bench-data: $(DEV) ## compare the 1-bit classifier with its rivals on public data (river and mlxtend are optional)
	@$(PY) -m benchmarks.data $(ARGS)

docs: $(DOCS) $(TORCH) ## build the documentation: build/docs/index.html
	@$(PY) -m sphinx -j auto -b html -W --keep-going -q docs build/docs $(ARGS)
	@echo "Open build/docs/index.html"

clean: ## remove caches and built files, keep .venv
	@rm -rf build dist out docs/_generated docs/api/generated .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	@for folder in src tests benchmarks examples docs; do \
		if [ -d $$folder ]; then find $$folder -name __pycache__ -type d -prune -exec rm -rf {} +; fi; \
	done

distclean: clean ## the same, and remove .venv
	@rm -rf $(VENV) $(UNFINISHED)

# $(call install,EXTRAS,STAMPS): one `pip install`, then the stamps.
# $(UNFINISHED) exists beside .venv while pip works. A set-up that is killed leaves it behind, and the next
# one starts from an empty .venv. pip undoes an ordinary failure itself, so then the mark is removed.
# Python reads .pth files in the locale's encoding, so the path of the sources is written relative to its file.
define install
	@if [ -e $(UNFINISHED) ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "sterling needs Python 3.11 or newer. Name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }; \
		touch $(UNFINISHED) && $(PYTHON) -m venv --clear $(VENV) || exit 1; \
	fi; \
	echo "Installing sterling$(1) into $(VENV); the first time this takes a minute or more."; \
	touch $(UNFINISHED); \
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.$(1)'; status=$$?; \
	if [ $$status -lt 128 ]; then rm -f $(UNFINISHED); fi; \
	if [ $$status -ne 0 ]; then echo "The set-up failed: see pip's message above." >&2; exit $$status; fi; \
	for pth in $(VENV)/lib/python*/site-packages/_editable_impl_sterling.pth; do echo ../../../../src > "$$pth"; done; \
	pwd -P > $(LOCATION); touch $(2)
endef

$(CORE): $(SOURCES)
	$(call install,,$(CORE))

$(DEV): $(SOURCES)
	$(call install,[dev],$(CORE) $(DEV))

$(TORCH): $(SOURCES)
	$(call install,[torch],$(CORE) $(TORCH))

$(QAT): $(SOURCES)
	$(call install,[qat],$(CORE) $(TORCH) $(QAT))

$(DOCS): $(SOURCES)
	$(call install,[docs],$(CORE) $(DOCS))

# Every stamp is stale after an interrupted set-up, since .venv will be emptied; when .venv's Python is gone;
# and in a copied folder, where .venv still points at the sources of the original.
ifneq ($(wildcard $(UNFINISHED)),)
$(CORE) $(DEV) $(TORCH) $(QAT) $(DOCS): FORCE
else ifeq ($(shell test -x $(PY) && pwd -P | cmp -s - $(LOCATION) && echo here),)
$(CORE) $(DEV) $(TORCH) $(QAT) $(DOCS): FORCE
endif
