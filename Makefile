# The commands of the project: `make` lists them. Every target installs what it needs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup run events token openapi test coverage prove proof clients browser mutants check lint validate schemas contract \
  scan bench bench-gate cost format build plain rehearse deploy sam-local dynamodb load lock clean

PYTHON ?= $(shell command -v python3.13 || uv python find 3.13 2>/dev/null || command -v python3)
BIN := .venv/bin
export SAM_CLI_TELEMETRY := 0
# Without bytecode, each of the many processes of the tests compiles the code again.
unexport PYTHONDONTWRITEBYTECODE

# The architecture of the artifacts, `arm64` or `x86_64`, for the template and for the wheels.
ARCH ?= arm64
HOST_ARCH := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
# Only from the command line: shells use a variable of this name, too.
ENV := default

# These tools need their own environments: their dependencies conflict with ours.
SAM := .build/sam/bin/sam
SECURITY := .build/security/bin
NODE := .build/node/node_modules/.bin

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Installs a lock into an environment of its own, and prints a dot for each second.
define ENVIRONMENT
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || \
  { echo "Python 3.13 is needed. Install it, for example with 'uv python install 3.13', or set PYTHON= to its path." >&2; exit 1; }
@printf 'Installing $< into $(@D) (a minute, the first time) ' >&2; rm -rf $(@D); mkdir -p .build; "$(PYTHON)" -m venv $(@D)
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< & \
  while kill -0 $$! 2>/dev/null; do printf . >&2; sleep 1; done; echo >&2; wait $$!
@touch $@
endef

.venv/.ready: requirements/dev.txt
	$(ENVIRONMENT)

.build/%/.ready: requirements/%.txt
	$(ENVIRONMENT)

# npm takes the address of each package from its own settings: the lock has versions and digests only.
.build/node/.ready: requirements/node/package-lock.json requirements/node/package.json
	@echo "Installing requirements/node into .build/node (a minute, the first time)" >&2
	@rm -rf .build/node && mkdir -p .build/node && cp requirements/node/*.json .build/node
	@npm ci --prefix .build/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

setup: .venv/.ready ## Install the locked environment into .venv, as all other targets do

run: .venv/.ready ## Serve the API on localhost (PORT=8000; DYNAMODB=moto, local, or a URL; EVENTS=yes; JWT_ISSUER=; JWT_AUDIENCE=; SERVICE_CALLERS=; TENANT_CLAIM=; SPACES_CLAIM=)
	@exec $(BIN)/python -m local

events: ## Follow the events of a running `make run EVENTS=yes`, as JSON lines (PORT=8000)
	@file=.local/events-$${PORT:-8000}.jsonl; mkdir -p .local && touch "$$file" && exec tail -n +1 -F "$$file"

token: .venv/.ready ## Print a bearer token for the local API (USER=alice; SCOPE=tasks/service; CLAIMS=JSON)
	@# Only accept USER from the command line: the shell also sets a variable USER.
	@$(if $(filter command,$(firstword $(origin USER))),,echo "Usage: make -s token USER=alice [SCOPE=...] [CLAIMS=...]" >&2; exit 2;) \
	$(BIN)/python -m local.tokens -- "$$USER" "$$SCOPE" "$$CLAIMS"

seed: .venv/.ready ## Create 200 varied tasks in a running `make run` (ARGS="--user alice --url http://127.0.0.1:8000")
	@$(BIN)/python -m local.seed $(ARGS)

openapi: .venv/.ready ## Generate the contract: docs/openapi.json, requests.http and events.schema.json
	@$(BIN)/python -m contract

test: .venv/.ready .build/sam/.ready ## Run the whole test suite
	@$(BIN)/python -m pytest

coverage: .venv/.ready ## Show the lines that neither the unit tests nor a request with each status runs
	@$(BIN)/python -m pytest tests/unit tests/contract/test_every_status.py tests/contract/test_batch_tasks.py \
	  tests/contract/test_erase_user.py tests/contract/test_list_changes.py \
	  --cov --cov-report=term:skip-covered --cov-fail-under=95

prove: .venv/.ready .build/sam/.ready ## Run the test suite at full scale, which takes long
	@PROVE=1 $(BIN)/python -m pytest

proof: .venv/.ready ## Run the tests of the promises in docs/reliability.md at medium scale (some minutes)
	@PROVE=ci $(BIN)/python -m pytest tests/property tests/unit/test_places.py tests/faults/test_injections.py tests/integration/test_sync.py

clients: .venv/.ready ## Test clients of openapi-generator and openapi-zod-client, and docs/requests.http (a minute)
	@$(BIN)/python -m pytest tests/client/slow -n 0

browser: .venv/.ready ## Test the page /docs, and signing in, in a headless Chromium
	@command -v chromedriver >/dev/null || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; } || \
	  { echo "Install Chromium and chromedriver: they are not on the PATH, and apt-get could not" >&2; exit 2; }
	@$(BIN)/python -m pytest tests/browser -n 0

mutants: .venv/.ready ## Run mutation tests, and show the mutants that no unit test kills (five minutes)
	@$(BIN)/python -m tests.mutants

check: lint validate schemas contract scan ## Check format, lint, types, the template and the contract

lint: .venv/.ready ## Check format, lint and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

validate: .build/sam/.ready ## Check the template with SAM and cfn-lint
	@# SAM and cfn-lint need a region even if they do not call AWS.
	@$(SAM) validate --lint --region eu-central-1

schemas: .venv/.ready ## Check the workflows and dependabot against their schemas
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml && \
	  $(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

# Only a contributor may do without npm. The strict rule set is the recommended one with errors in place of warnings.
contract: ## Lint docs/openapi.json with redocly and spectral
	@if command -v npm >/dev/null; then $(MAKE) -s .build/node/.ready && \
	  REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
	  $(NODE)/redocly lint --extends=recommended-strict docs/openapi.json && \
	  $(NODE)/spectral lint --ruleset=contract/spectral.yaml --fail-severity=hint docs/openapi.json; \
	else echo "NOT LINTED: docs/openapi.json, because npm is not on the PATH" >&2; test "$$CI" != true; fi

# checkov asks its maker for descriptions, and does without them; pip-audit without its data says so and proves nothing.
scan: .build/security/.ready ## Scan the template (checkov) and the locks (pip-audit) for known vulnerabilities
	@$(SECURITY)/checkov --config-file .checkov.yaml 2>/dev/null
	@for lock in runtime dev sam; do \
	  found=$$($(SECURITY)/pip-audit --disable-pip --require-hashes -r requirements/$$lock.txt -f json 2>/dev/null); \
	  case "$$found" in \
	    *'"fix_versions"'*) $(SECURITY)/pip-audit --disable-pip --require-hashes -r requirements/$$lock.txt; exit 1;; \
	    ""|*'"skip_reason"'*) echo "NOT AUDITED: requirements/$$lock.txt, the vulnerability database cannot be reached";; \
	    *) echo "No known vulnerability in requirements/$$lock.txt";; \
	  esac; done

bench: .venv/.ready ## Compare cold starts, warm calls and growth with peers, and write bench/RESULTS.md
	@$(NEEDS_VALGRIND) && $(BIN)/python -m bench

bench-gate: .venv/.ready ## Fail if a cold start or a warm call exceeds its limit of instructions
	@$(NEEDS_VALGRIND) && $(BIN)/python -m bench gate

NEEDS_VALGRIND = command -v valgrind >/dev/null || { echo "The benchmarks need valgrind on the PATH" >&2; exit 1; }
cost: .venv/.ready ## Write docs/cost.md from the inputs in ops/cost.py
	@$(BIN)/python -m ops.cost > docs/cost.md

format: .venv/.ready ## Format the code, and fix lint errors where possible
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

build: .venv/.ready .build/sam/.ready ## Build the artifacts of all functions (ARCH=arm64; PLAIN=1 for the published pydantic)
	@$(if $(filter arm64 x86_64,$(ARCH)),,echo "ARCH must be arm64 or x86_64, not $(ARCH)" >&2; exit 2)
	@ARCH=$(ARCH) PLAIN=$(PLAIN) $(SAM) build --config-env $(ENV) --parameter-overrides Architecture=$(ARCH)

plain: .venv/.ready ## Build with the published pydantic, and test these artifacts
	@$(MAKE) build PLAIN=1
	@PLAIN=1 $(BIN)/python -m pytest tests/deployment/test_artifacts.py tests/deployment/test_artifact_paths.py

rehearse: .venv/.ready .build/sam/.ready .build/rehearse/.ready ## Deploy into an emulator of AWS, and use what was deployed (three minutes)
	@$(BIN)/python -m rehearsal

deploy: build ## Deploy to AWS (ENV=prod; ARCH=arm64; PARAMETERS="JwtIssuer=... ...")
	@# The shell expands PARAMETERS and splits it into words. make does not expand it, so it cannot run commands.
	@set -f; parameters=$$($(BIN)/python -m ops.release $(ENV) Architecture=$(ARCH) $$PARAMETERS) && \
	  $(SAM) deploy --config-env $(ENV) $(if $(CI),--no-confirm-changeset) --parameter-overrides $$parameters

sam-local: .venv/.ready .build/sam/.ready ## Build for `sam local` on this machine
	@LOCAL=1 ARCH=$(HOST_ARCH) $(SAM) build --build-dir .aws-sam/local --parameter-overrides Architecture=$(HOST_ARCH)
	@# Then \`sam local\` needs no parameter for the architecture.
	@sed -i.bak 's/Default: arm64/Default: $(HOST_ARCH)/' .aws-sam/local/template.yaml

dynamodb: .venv/.ready ## Serve an in-memory DynamoDB for `sam local`, with the tasks of events/
	@exec $(BIN)/python -m local.sam_dynamodb

load: .venv/.ready $(if $(filter-out -h --help,$(ARGS)),.build/load/.ready) ## Run a load test (ARGS="URL --people 20 --time 1m"; ARGS=--help)
	@set -f; exec $(BIN)/python -m load $$ARGS

# `sam build` runs the target build-<Function> for each function, and sets ARTIFACTS_DIR.
# PLAIN=1 builds with the published pydantic, so that frozen_pydantic.py never blocks a security release of pydantic.
DEPENDENCIES := .build/runtime-$(ARCH)$(if $(PLAIN),-plain)
SCHEMAS := .build/schemas.py
BUILD = @$(BIN)/python -m artifacts.build

$(DEPENDENCIES) $(DEPENDENCIES)-events: requirements/runtime.txt artifacts/build.py artifacts/trim.py artifacts/frozen_pydantic.py
	$(BUILD) packages $@ --arch $(ARCH) $(if $(PLAIN),--plain) $(if $(filter %-events,$@),--service events)

# The core schemas of our models. mv replaces the file atomically, because builds may run simultaneously.
$(SCHEMAS): $(wildcard shared/*.py shared/*/*.py) artifacts/freeze.py requirements/runtime.txt
	@mkdir -p .build && $(BIN)/python -m artifacts.freeze $@.$$$$ && mv $@.$$$$ $@

OPTIONS = $(if $(PLAIN),,--schemas $(SCHEMAS)) $(if $(LOCAL),--local)

build-%: $(DEPENDENCIES) $(if $(PLAIN),,$(SCHEMAS))
	$(BUILD) function $* "$(ARTIFACTS_DIR)" --packages $< $(OPTIONS)

build-PublishEvents: $(DEPENDENCIES)-events $(if $(PLAIN),,$(SCHEMAS)) # requests to EventBridge, none to DynamoDB
	$(BUILD) function PublishEvents "$(ARTIFACTS_DIR)" --packages $< $(OPTIONS)

build-GetOpenapi: # no libraries, and nothing of shared/
	$(BUILD) function GetOpenapi "$(ARTIFACTS_DIR)" $(if $(LOCAL),--local)

# uv resolves for all platforms, so the lock also has the hashes of the arm64 wheels.
lock: ## Lock the newest versions of the requirements, with hashes
	@test -x .build/lock/bin/uv || { "$(PYTHON)" -m venv .build/lock && .build/lock/bin/pip install --quiet uv; }
	@cd requirements && for lock in dev runtime sam security bench load rehearse clients; do \
	  ../.build/lock/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header \
	    --no-emit-index-url --upgrade $$(case $$lock in runtime|bench) echo -c dev.txt;; esac) $$lock.in -o $$lock.txt || exit 1; done
	@cd requirements/node && rm -f package-lock.json && \
	  npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel=error

clean: ## Remove everything that was generated, including local data
	@rm -rf .venv .local .aws-sam .build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache mutants
