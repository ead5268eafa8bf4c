# One line a chore. `make run` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

help:            ## show this list
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
run: .venv/run dashboards/console/dist/index.html ## install and start everything embedded
	@$(BIN)/haidang run
test: .venv/dev dashboards/console/dist/index.html ## check and test everything (installs what the tests need)
	@$(BIN)/python -m tests.needs && $(BIN)/python tests/run.py
check: .venv/dev dashboards/console/node_modules ## style, types, import layers only
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(MAKE) --silent checkconsole
format: .venv/dev dashboards/console/node_modules ## put the code into its style
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(NPM) run --silent format
coverage: .venv/dev dashboards/console/dist/index.html ## the same tests, and which lines they ran
	@$(BIN)/python -m tests.needs && $(BIN)/python tests/run.py --coverage
nightly: .venv/dev       ## slow fuzzing: every property test, 20 rounds of other random input; a million inputs for each decoder and the sensor
	@$(BIN)/python -m tests.fuzz
	@$(BIN)/python -m tests.fuzz_packets
	@HAIDANG_NIGHTLY=1 $(BIN)/pytest -q tests/detectors/sigma/test_sigma_prefilter.py tests/api/test_openapi_fuzz.py
	@for round in $$(seq 20); do $(BIN)/pytest -q -m hypothesis --hypothesis-seed=$$(date +%s)$$round || exit 1; done
chaos: .venv/dev         ## 100 random kills under load; make chaos ON=--services: on Kafka, Elasticsearch, PostgreSQL
	@$(BIN)/python -m tests.e2e.chaos $(ON)
chaossharing: .venv/dev  ## 50 random kills of the stage that shares, and of an authority that fails
	@$(BIN)/python -m tests.sharing.chaos --kills 50
chaosdelivery: .venv/dev ## 50 random kills of the stage that delivers, with receivers that fail
	@$(BIN)/python -m tests.response.delivery.chaos
bench: .venv/run         ## measure this machine
	@$(BIN)/haidang bench pipeline
lock: .venv/dev          ## renew the lock files
	@$(BIN)/uv pip compile -q pyproject.toml --group build --universal --no-emit-index-url --no-header --generate-hashes -o requirements.lock
	@cd dashboards/console && PATH="$(CURDIR)/$(BIN):$$PATH" && npm install --package-lock-only --loglevel=error && node -e 'const fs = require("fs"), lock = JSON.parse(fs.readFileSync("package-lock.json")); for (const each of Object.values(lock.packages)) { delete each.funding; delete each.resolved; } fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n")'
	@$(BIN)/uv pip compile -q pyproject.toml --group build --group dev --universal --no-emit-index-url --no-header --generate-hashes -o requirements-dev.lock
wheel: .venv/dev dashboards/console/dist/index.html ## build the wheel
	@$(BIN)/python -m build --wheel --no-isolation
console: dashboards/console/dist/index.html ## build the web console
checkconsole: dashboards/console/node_modules
	@$(NPM) run --silent check
clean:           ## remove what was made here (never data)
	@rm -rf .venv dist dashboards/console/dist dashboards/console/node_modules .mypy_cache .ruff_cache .pytest_cache .coverage*

.venv/run: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; say which: make PYTHON=python3.12 run"; exit 1; }
	@echo "Installing into .venv; this takes about a minute."
	@$(PYTHON) -m venv .venv || { echo "Python's venv is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@mkdir -p dashboards/console/dist # the package names it, and it is not built yet
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . && touch $@
.venv/dev: .venv/run requirements-dev.lock
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock && touch $@
# Node comes from the virtual environment, so that Python is all that must be there.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix dashboards/console --no-progress --loglevel=error
CONSOLE := $(shell find dashboards/console/src dashboards/console/locale -type f) $(wildcard dashboards/console/*.json dashboards/console/*.ts dashboards/console/index.html)
dashboards/console/node_modules: dashboards/console/package-lock.json .venv/run
	@$(NPM) ci && touch $@
dashboards/console/dist/index.html: $(CONSOLE) dashboards/console/node_modules
	@echo "Building the console." && $(NPM) run --silent build -- --logLevel=warn && touch $@
.PHONY: help run test coverage check checkconsole format nightly chaos chaosdelivery chaossharing bench lock wheel console clean
