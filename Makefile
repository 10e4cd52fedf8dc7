# The commands of the project; `make` alone lists them. Everything that a target needs it makes itself.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup run token openapi test coverage prove proof browser mutants check validate schemas scan bench \
  bench-gate cost format build plain deploy sam-local dynamodb load lock clean

PYTHON ?= $(shell command -v python3.13 || command -v python3)
BIN := .venv/bin
export SAM_CLI_TELEMETRY := 0

# The processor that artifacts are built for: `arm64` or `x86_64`. It goes to the template and to the wheels alike.
ARCH ?= arm64
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
ENV ?= default

# What runs in an environment of its own: SAM CLI, the scanners and locust do not resolve together with the rest.
SAM := .build/sam/bin/sam
SECURITY := .build/security/bin

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made again whenever its lock changes.
.venv/.ready: requirements/dev.txt
	@echo "Installing the locked requirements into .venv (a minute, the first time)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info[:2] == (3, 13) else "Python 3.13 is needed: set PYTHON=")'
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.build/%/.ready: requirements/%.txt
	@echo "Installing requirements/$*.txt into .build/$* (a minute, the first time)" >&2
	@rm -rf .build/$* && mkdir -p .build
	@$(PYTHON) -m venv .build/$*
	@.build/$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$*.txt
	@touch $@

setup: .venv/.ready ## Install the locked environment into .venv, as every command that needs it does

run: .venv/.ready ## Serve the API on localhost (PORT=8000; DYNAMODB=moto, local, or a URL)
	@exec $(BIN)/python -m local

token: .venv/.ready ## Print a bearer token for the local API (USER=alice; SCOPE=tasks/service)
	@# USER must be given here: the shell has a USER of its own, which is not meant.
	@$(if $(filter command,$(firstword $(origin USER))),,echo "Usage: make -s token USER=alice [SCOPE=...]" >&2; exit 2;) \
	$(BIN)/python -m local.tokens "$$USER" "$$SCOPE"

openapi: .venv/.ready ## Write the contract, docs/openapi.json
	@$(BIN)/python -m contract

test: .venv/.ready .build/sam/.ready ## Run the whole test suite
	@$(BIN)/python -m pytest

# Not part of `make test`, since it takes a quarter of its time.
coverage: .venv/.ready ## Show which lines of the product no test of the unit and contract suites runs
	@$(BIN)/python -m pytest tests/unit tests/contract --cov --cov-report=term:skip-covered --cov-fail-under=95

prove: .venv/.ready .build/sam/.ready ## Run the suite at full scale: as long as it takes
	@PROVE=1 $(BIN)/python -m pytest

proof: .venv/.ready ## Run the proofs of docs/reliability.md at middle size: three minutes
	@PROVE=ci $(BIN)/python -m pytest tests/property tests/faults/test_injections.py tests/faults/test_crashes.py \
	  tests/faults/test_keys.py

browser: .venv/.ready ## Test the page /docs in a headless Chromium
	@command -v chromedriver >/dev/null || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; } || \
	  { echo "Install Chromium and chromedriver: they are not on the PATH, and apt-get could not" >&2; exit 2; }
	@$(BIN)/python -m pytest tests/browser -n 0

mutants: .venv/.ready ## Change the code in small ways, and show the changes that no unit test notices: five minutes
	@$(BIN)/python -m tests.mutants

check: .venv/.ready ## Check format, lint, types and the template
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(MAKE) validate
	@$(MAKE) schemas
	@$(MAKE) scan

validate: .build/sam/.ready ## Check the template with SAM and cfn-lint
	@# It asks AWS nothing, but wants a region.
	@$(SAM) validate --lint --region eu-central-1

# The schemas are inside the package.
schemas: .venv/.ready ## Check the workflows and dependabot against their schemas
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

# checkov tries to fetch descriptions, and works without them. Without its data, pip-audit proves nothing: that is reported.
scan: .build/security/.ready ## Scan the template (checkov) and the locks (pip-audit) for known weaknesses
	@$(SECURITY)/checkov --config-file .checkov.yaml 2>/dev/null
	@for lock in runtime dev sam; do \
	  found=$$($(SECURITY)/pip-audit --disable-pip --require-hashes -r requirements/$$lock.txt -f json 2>/dev/null); \
	  case "$$found" in \
	    *'"fix_versions"'*) $(SECURITY)/pip-audit --disable-pip --require-hashes -r requirements/$$lock.txt; exit 1;; \
	    ""|*'"skip_reason"'*) echo "NOT AUDITED: requirements/$$lock.txt, the data of known weaknesses cannot be reached";; \
	    *) echo "No known weakness in requirements/$$lock.txt";; \
	  esac; done

# Callgrind counts the instructions; Debian has it.
bench: .venv/.ready ## Measure cold starts, warm calls and growth against peers, and write bench/RESULTS.md
	@$(NEEDS_VALGRIND)
	@$(BIN)/python -m bench

bench-gate: .venv/.ready ## Fail if a cold start or a warm call takes more instructions than it may
	@$(NEEDS_VALGRIND)
	@$(BIN)/python -m bench gate

NEEDS_VALGRIND = command -v valgrind >/dev/null || { echo "The benchmarks need valgrind on the PATH" >&2; exit 1; }

cost: .venv/.ready ## Write docs/cost.md from the inputs in ops/cost.py
	@$(BIN)/python -m ops.cost > docs/cost.md

format: .venv/.ready ## Format the code and fix what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

build: .venv/.ready .build/sam/.ready ## Build the artifacts of all functions (ARCH=arm64; PLAIN=1 with pydantic as it is published)
	@ARCH=$(ARCH) PLAIN=$(PLAIN) $(SAM) build --config-env $(ENV) --parameter-overrides Architecture=$(ARCH)

plain: .venv/.ready ## Build with pydantic as it is published, and test these artifacts
	@$(MAKE) build PLAIN=1
	@PLAIN=1 $(BIN)/python -m pytest tests/deployment/test_artifacts.py tests/deployment/test_artifact_paths.py

deploy: build ## Deploy to AWS (ENV=prod; ARCH=arm64; PARAMETERS="JwtIssuer=... ...")
	@# PARAMETERS is read by the shell as a variable, which it splits into words and does not run.
	@set -f; parameters=$$($(BIN)/python -m ops.release $(ENV) Architecture=$(ARCH) $$PARAMETERS) && \
	  $(SAM) deploy --config-env $(ENV) $(if $(CI),--no-confirm-changeset) --parameter-overrides $$parameters

sam-local: .venv/.ready .build/sam/.ready ## Build for `sam local` on this machine
	@LOCAL=1 ARCH=$(HOST_ARCH) $(SAM) build --build-dir .aws-sam/local --parameter-overrides Architecture=$(HOST_ARCH)
	@# So that \`sam local\` needs no parameters to run what was built here.
	@sed -i.bak 's/Default: arm64/Default: $(HOST_ARCH)/' .aws-sam/local/template.yaml

dynamodb: .venv/.ready ## Serve a DynamoDB in memory for `sam local`, with the tasks of events/
	@exec $(BIN)/python -m local.sam_dynamodb

load: .venv/.ready .build/load/.ready ## Load a deployment with real use (ARGS="URL --people 20 --time 1m"; ARGS=--help)
	@# ARGS is read by the shell as a variable, which it splits into words and does not run.
	@set -f; exec $(BIN)/python -m load $$ARGS

# SAM runs build-<Function> for each function, with ARTIFACTS_DIR set. PLAIN=1 builds with pydantic as it is published, and
# without schemas, so that the stand-in never blocks a release of it.
DEPENDENCIES := .build/runtime-$(ARCH)$(if $(PLAIN),-plain)
SCHEMAS := .build/schemas.py
BUILD = @$(BIN)/python -m artifacts.build

$(DEPENDENCIES): requirements/runtime.txt artifacts/build.py artifacts/trim.py artifacts/frozen_pydantic.py
	$(BUILD) packages $@ --arch $(ARCH) $(if $(PLAIN),--plain)

# What pydantic makes of our models. It is moved into place, since another build may do the same at this moment.
$(SCHEMAS): $(wildcard shared/*.py shared/*/*.py) artifacts/freeze.py requirements/runtime.txt
	@mkdir -p .build && $(BIN)/python -m artifacts.freeze $@.$$$$ && mv $@.$$$$ $@

build-%: $(DEPENDENCIES) $(if $(PLAIN),,$(SCHEMAS))
	$(BUILD) function $* "$(ARTIFACTS_DIR)" --packages $(DEPENDENCIES) $(if $(PLAIN),,--schemas $(SCHEMAS)) $(if $(LOCAL),--local)

# The contract needs neither libraries nor what the others share, only itself.
build-GetOpenapi:
	$(BUILD) function GetOpenapi "$(ARTIFACTS_DIR)" $(if $(LOCAL),--local)

# uv resolves for every platform at once, so that the wheels for arm64 are among the hashes.
lock: ## Lock the newest requirements, with hashes
	@test -x .build/lock/bin/uv || { $(PYTHON) -m venv .build/lock && .build/lock/bin/pip install --quiet uv; }
	@cd requirements && for lock in dev runtime sam security bench load; do \
	  ../.build/lock/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header \
	    --no-emit-index-url --upgrade $$(case $$lock in runtime|bench) echo -c dev.txt;; esac) $$lock.in -o $$lock.txt || exit 1; done

clean: ## Remove what was made, local data included
	@rm -rf .venv .local .aws-sam .build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache mutants
