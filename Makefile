# `make run` serves, `make test` tests; both build .venv from pinned, hashed locks first. `make help` lists the rest.
BIN  := .venv/bin
ARGS ?=
export AGENTRT_DATA_DIR ?= ./data
# uv trusts what the machine trusts, as pip does: companies have certificates of their own.
export UV_SYSTEM_CERTS ?= 1
export GOAL := $(firstword $(MAKECMDGOALS) run)

# Debian packages that tests use; without them, and where they cannot be installed, those tests are skipped aloud.
TEST_PACKAGES := postgresql $(if $(shell command -v dockerd),,docker.io) bubblewrap libseccomp2 e2fsprogs

# An environment that was moved or copied here keeps its old place in its scripts: scripts/install.sh builds it anew.
MOVED := $(shell [ "$$(cat .venv/.home 2>/dev/null)" = "$(CURDIR)" ] || rm -f .venv/.run .venv/.dev)

COMPILE := $(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url

.PHONY: run test build check bench dist demo image test-deps lock migration clean help

# What code runs in comes up behind the server: scripts/sandbox.sh installs bubblewrap where nothing is, the server builds the
# image. SANDBOX=none leaves the machine as it is.
run: export AGENTRT_CONTAINERS__BUILD_IMAGE ?= $(if $(filter none,$(SANDBOX)),false,true)
run: .venv/.run ## start the server (ARGS="--addr :8081" and so on)
	@(SANDBOX='$(SANDBOX)' scripts/sandbox.sh $$$$ &); exec $(BIN)/agentrt serve $(ARGS)

test: .venv/.dev test-deps ## run all tests (ARGS="tests/journal -x" for some)
	$(BIN)/python -m pytest $(ARGS)

build: .venv/.run .venv/.dev ## build .venv with everything for development

check: .venv/.dev ## lint, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports

bench: .venv/.dev ## measure beside what one would use in its place (ONLY=chat,sandbox for some)
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

dist: .venv/.dev ## wheel, sdist and the single file agentrt.pyz, in dist/
	scripts/dist.sh

demo: .venv/.dev ## one real chat with a tool through the OpenAI SDK, its events as they happen
	$(BIN)/python examples/clients/demo.py

image: .venv/.run ## build the image that code runs on (ARGS="--base host" and so on)
	@$(BIN)/agentrt image build $(ARGS)

test-deps: ## install what tests use and the machine lacks (root on Debian)
	@scripts/test-deps.sh $(TEST_PACKAGES)

lock: .venv/.dev ## write the locks anew (UPGRADE=1 takes the newest versions)
	$(COMPILE) $(if $(UPGRADE),--upgrade) pyproject.toml --group dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(COMPILE) --group install -c requirements-dev.lock -o requirements-install.lock
	for bench in passthrough peers; do $(COMPILE) --python-version 3.11 bench/$$bench/requirements.in \
	  -c requirements-dev.lock -o bench/$$bench/requirements.lock || exit 1; done
	! grep -nE '://|--(extra-)?index|--find-links|--trusted-host' requirements*.lock bench/*/requirements.lock

migration: .venv/.dev ## write the next migration from the tables as they are (m="what it does")
	@test -n '$(m)' || { echo 'say what it does: make migration m="add labels to runs"' >&2; exit 2; }
	scripts/migration.sh '$(m)'

clean: ## remove what was built; data/ stays
	rm -rf .venv dist build bench/build bench/results .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-10s %s\n", $$1, $$2 }'

.venv/.run: requirements.lock requirements-install.lock pyproject.toml
	@scripts/install.sh run

.venv/.dev: requirements-dev.lock requirements-install.lock pyproject.toml
	@scripts/install.sh dev
