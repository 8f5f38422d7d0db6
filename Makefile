# Needs python3 (3.11 or newer) with pip, and make. Tools and versions are in requirements-dev.txt.

# The first that really runs: version managers leave names on the PATH that lead nowhere.
PYTHON ?= $(shell for python in python3.14 python3.13 python3.12 python3.11 python3; do \
	"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)
BIN := .venv/bin
READY := .venv/.ready
PIP := -m pip --disable-pip-version-check
LOCKING := build/lock
# Each process that a test starts would compile the whole source again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run check docs test test-fast bench format lock clouds

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Send one mail through everything, on this machine only
	@$(BIN)/mail-proxy demo

run: $(READY) ## Start the instance "dev"
	@$(BIN)/mail-proxy start dev

check: $(READY) docs ## Lint, format, types, import rules, documentation, stray files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd src && ../$(BIN)/mypy --config-file ../pyproject.toml -p mail_proxy
	@cd src && ../$(BIN)/mypy --config-file ../pyproject.toml ../tests/typed
	@cd docs/_ext && MYPYPATH=../../src ../../$(BIN)/mypy --config-file ../../pyproject.toml -p reference_pages
	@$(BIN)/lint-imports
	@.ci/stray_files

docs: $(READY) ## Build the documentation; warnings are errors
	@$(BIN)/sphinx-build -E -q -W --keep-going -b html docs docs/_build/html

test: $(READY) ## Run all tests
	@$(BIN)/pytest -n 5 --dist worksteal

test-fast: $(READY) ## Run the tests of parts: under a minute, no outages and no whole processes
	@$(BIN)/pytest -n 3 --dist worksteal -m 'not slow' -k 'not postgresql' \
		tests/unit tests/properties tests/database tests/protocols/smtp

bench: $(READY) ## Measure the speed
	@$(BIN)/python -m benchmarks

format: $(READY) ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Write the newest versions to requirements-dev.txt
	@$(require-python)
	@rm -rf $(LOCKING) && $(PYTHON) -m venv $(LOCKING)
	@$(LOCKING)/bin/python $(PIP) install -qq '.[dev,postgresql]'
	@$(LOCKING)/bin/python $(PIP) freeze --exclude genro-mail-proxy > $(LOCKING)/versions
	@# Nothing but name==version: an address in here would hold on one machine only.
	@! grep -vE '^[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+$$' $(LOCKING)/versions >&2
	@{ echo '# Written by "make lock".'; LC_ALL=C sort -f $(LOCKING)/versions; } > requirements-dev.txt
	@# Servers and libraries of object storage: more than 300 MB, which few tests need.
	@$(LOCKING)/bin/python $(PIP) install -qq '.[clouds]'
	@$(LOCKING)/bin/python $(PIP) freeze --exclude genro-mail-proxy > $(LOCKING)/clouds
	@{ echo '# Written by "make lock".'; \
		LC_ALL=C sort -f $(LOCKING)/clouds | grep -vxFf $(LOCKING)/versions; } > requirements-clouds.txt
	@rm -rf $(LOCKING)

clouds: $(READY) ## Install the servers and libraries that tests of object storage need
	@$(BIN)/python $(PIP) install -qq -r requirements-clouds.txt

$(READY): requirements-dev.txt pyproject.toml
	@$(require-python)
	@echo 'Preparing .venv, about a minute the first time' >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python $(PIP) install -qq -r requirements-dev.txt
	@$(BIN)/python $(PIP) install -qq --no-deps -e .
	@touch $@

define require-python
test -n "$(PYTHON)" || { echo 'No Python 3.11 or newer with pip and venv was found' >&2; exit 1; }
endef
