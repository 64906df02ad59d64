# Needs git, make and Python 3.11 or newer; everything else goes into .venv. Works with GNU make 3.81 (macOS).
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SERVERS := mosquitto chromium prometheus prometheus-alertmanager victoria-metrics node
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench scores lock wheel-test clean

help: ## show this list
	@echo 'Renrum. Usage: make TARGET [ARGS="..."]'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1~\2/p' $(MAKEFILE_LIST) | awk -F '~' '{ printf "  %-12s%s\n", $$1, $$2 }'

demo: $(VENV)/.runtime ## the whole pipeline with simulated cleanrooms; Ctrl-C stops it, ARGS="--duration 30s" ends it
	@$(BIN)/renrum demo $(ARGS)

test: $(VENV)/.development ## install what the tests need and run them all; ARGS="-k journal" for some
	@scripts/servers $(SERVERS)
	@scripts/node-tools
	@$(BIN)/python -m pytest -n 4 --dist loadfile $(ARGS)

check: $(VENV)/.development ## lint, format, types and architecture; reports all before it fails
	@scripts/check $(BIN)

format: $(VENV)/.development ## fix what lint and format can fix by themselves
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format --quiet

bench: $(VENV)/.development ## each benchmark beside its limit
	@scripts/servers mosquitto
	@$(BIN)/python -m benchmarks $(ARGS)

scores: $(VENV)/.development ## how the packs fare on the shipped scenarios: docs/scores.md, its picture, README
	@$(BIN)/python -m scripts.scores

lock: $(VENV)/.runtime ## write the hashed requirements from pyproject.toml; ARGS=--upgrade takes the newest allowed
	@scripts/lock $(BIN) $(ARGS)

wheel-test: $(VENV)/.development ## build the wheel and test it in an empty environment, away from the checkout
	@scripts/wheel-test $(BIN)

clean: ## remove caches and build results (rm -rf .venv starts all over)
	@rm -rf build dist .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/pip:
	@python=$$(scripts/python) && echo "Making $(VENV) with $$python" && $$python -m venv $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(BIN)/pip
	@echo "Installing what Renrum needs into $(VENV) (about a minute the first time)"
	@$(PIP) install --quiet --require-hashes -r requirements.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

.PHONY: bundle
bundle: $(VENV)/.runtime ## what a site without internet needs, as one file in dist/; ARGS="--platform ..." for another kind of machine
	@scripts/bundle $(BIN) $(ARGS)
