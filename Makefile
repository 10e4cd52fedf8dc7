# The commands of the project; `make` alone lists them. Everything that a target needs it makes itself.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.13 || command -v python3)
PORT ?= 8000
DYNAMODB ?= moto
BIN := .venv/bin
export SAM_CLI_TELEMETRY := 0
# Where AWS is not asked, SAM and cfn-lint still want a region.
REGION ?= eu-central-1

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew whenever its lock changes.
.venv/.ready: requirements/dev.txt
	@echo "Installing the locked requirements into .venv (a minute, the first time)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 13) else "Python 3.13 is needed: set PYTHON=")'
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: run
run: .venv/.ready ## Serve the API on localhost (PORT=8000; DYNAMODB=moto, local, or a URL)
	@PORT=$(PORT) DYNAMODB=$(DYNAMODB) exec $(BIN)/python -m local

.PHONY: token
token: .venv/.ready ## Print a bearer token for the local gateway (USER=alice; SCOPE=tasks/service)
	@# The shell has a USER of its own, which is not meant.
	@$(if $(filter command,$(firstword $(origin USER))),,echo "Usage: make -s token USER=alice [SCOPE=...]" >&2; exit 2;) \
	$(BIN)/python -m local.tokens "$(USER)" "$(SCOPE)"

.PHONY: test
test: .venv/.ready ## Run the whole test suite
	@$(BIN)/python -m pytest

.PHONY: prove
prove: .venv/.ready ## Run the suite at full scale: as long as it takes
	@PROVE=1 $(BIN)/python -m pytest

.PHONY: check
check: .venv/.ready ## Check format, lint, types and the template
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sam validate --lint --region $(REGION)

.PHONY: format
format: .venv/.ready ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# uv resolves for every platform at once, so that the wheels for arm64 are among the hashes.
.PHONY: lock
lock: .venv/.ready ## Lock the requirements anew, with hashes
	@test -x .build/lock/bin/uv || { $(PYTHON) -m venv .build/lock && .build/lock/bin/pip install --quiet uv; }
	@cd requirements && for lock in dev runtime; do \
	  ../.build/lock/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header \
	    --no-emit-index-url --upgrade $$([ $$lock = dev ] || echo -c dev.txt) $$lock.in -o $$lock.txt || exit 1; done

.PHONY: clean
clean: ## Remove what was made, local data included
	@rm -rf .venv .local .aws-sam .build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
