# Everything a developer runs. Targets make .venv themselves; `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# More for the tool behind a target: make sync ARGS="--symbols 600519", make test ARGS="-k wire -x"
ARGS ?=
PYTEST_ARGS ?=
TEST_PROCESSES ?= 4
TIMED_PROCESSES ?= 3
ROUNDS ?= 3
SOAK_ROUNDS ?= 50

BIN := .venv/bin
RUNTIME := .venv/.stamp-runtime
DEV := .venv/.stamp-dev
CELERY := $(BIN)/celery -A pipeline.app
RABBITMQ := $(firstword $(wildcard /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server) \
	$(shell command -v rabbitmq-server))
library = $(wildcard $(foreach folder,/usr/lib /usr/lib64 /usr/lib/*,$(folder)/$(1)))
PANGO := $(call library,libpangoft2-1.0.so.0)
HARFBUZZ := $(call library,libharfbuzz-subset.so.0)
CHINESE_FONT := $(wildcard /usr/share/fonts/truetype/wqy/*.ttc /usr/share/fonts/opentype/noto/*CJK*)
# Debian packages of what is not here.
MISSING := $(strip $(if $(RABBITMQ),,rabbitmq-server) $(if $(PANGO),,libpango-1.0-0 libpangoft2-1.0-0) \
	$(if $(HARFBUZZ),,libharfbuzz-subset0) $(if $(CHINESE_FONT),,fonts-wqy-zenhei) \
	$(if $(shell command -v systemd-analyze),,systemd) $(if $(wildcard /usr/bin/chromium),,chromium))

# The locks are complete, so nothing is resolved; the project's own build needs only what they hold.
install = echo "installing $(1) into .venv" \
	&& $(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --no-deps -r $(1) \
	&& $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .

.PHONY: help setup sync test test-all soak reliability check contracts bench bench-sweep bench-market pacing fmt fmt-check lint types arch lock worker worker-admin beat flower metrics \
	simulator web up services clean

help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) ## Make .venv with everything that the other targets need
	@:

sync: $(RUNTIME) ## Synchronise everything from a simulated market (ARGS: more options)
	@$(BIN)/quantsync sync all --upstream simulator $(ARGS)

# Most tests wait for processes, so several run at once. Those that hold time to account run after
# them: beside each other where they leave the machine idle, alone where they do not.
marked = $(shell grep -rlw "mark.$(1)" tests --include="test_*.py")
together = $(BIN)/pytest -n $(TEST_PROCESSES) -m "not timed and not alone and $(1)" $(PYTEST_ARGS)
test: $(DEV) ## Run the tests (ARGS: pytest arguments)
ifeq ($(ARGS),)
	@$(call together,not lengthy)
	@$(BIN)/pytest -n $(TIMED_PROCESSES) -m "timed and not lengthy" $(PYTEST_ARGS) $(call marked,timed)
	@$(BIN)/pytest -m "alone and not lengthy" $(PYTEST_ARGS) $(call marked,alone)
else
	@$(BIN)/pytest $(PYTEST_ARGS) $(ARGS)
endif

test-all: $(DEV) ## Run the tests, and those variants that take long
	@$(MAKE) --no-print-directory test
	@$(call together,lengthy)
	@$(BIN)/pytest -m "(timed or alone) and lengthy" $(PYTEST_ARGS)

soak: $(DEV) ## Break a sync at random, ROUNDS times, and compare the stores
	@TEST_SOAK_ROUNDS=$(ROUNDS) $(BIN)/pytest -q -s tests/e2e/faults/test_soak.py $(ARGS)

reliability: $(DEV) services ## Run every fault case ROUNDS times, at length, and write docs/reliability.md
	@report=$$(mktemp); trap "rm -f $$report" EXIT; \
	export REQUIRE_SERVICES=1 TEST_FAULTS_AT_LENGTH=1 TEST_FAULT_REPORT=$$report; \
	for round in $$(seq $(ROUNDS)); do \
		$(BIN)/pytest -q tests/e2e/faults --deselect tests/e2e/faults/test_soak.py $(ARGS); \
	done; \
	TEST_SOAK_ROUNDS=$(SOAK_ROUNDS) $(BIN)/pytest -q tests/e2e/faults/test_soak.py; \
	$(BIN)/python tests/reliability.py $$report docs/reliability.md

bench: $(DEV) services ## Measure everything and write docs/benchmarks.md (ARGS: sections, --quick, --strict)
	@$(BIN)/quantsync bench --keep docs $(ARGS)

bench-sweep: $(DEV) ## Measure what a sweep of the whole market costs here (ARGS: --held 240, --rounds 5)
	@$(BIN)/python -W ignore -m tests.bench_sweep $(ARGS)

bench-market: $(DEV) ## Measure a whole market's day by the simulator's log (ARGS: increment, ticks, --speed 6)
	@$(BIN)/python -W ignore -m tests.bench_market $(ARGS)

pacing: $(DEV) ## Measure for 15 minutes how much of the permitted rate is used; writes docs/pacing.md
	@$(BIN)/python -m tests.pacing_load docs/pacing.md $(ARGS)

# Says nothing but the tests' closing line, or all about the first step that fails.
check: ## Run every check that a change must pass
	@for step in setup services fmt-check lint types arch; do \
		output=$$($(MAKE) $$step 2>&1) \
			|| { printf '%s\nmake %s failed\n' "$$output" "$$step" >&2; exit 1; }; \
	done
	@output=$$(REQUIRE_SERVICES=1 $(MAKE) test ARGS= PYTEST_ARGS="-q $(PYTEST_ARGS)" 2>&1) \
		|| { printf '%s\nmake test failed\n' "$$output" >&2; exit 1; }; \
	printf '%s\n' "$$output" | grep -E '[0-9]+ (passed|failed)'

contracts: $(DEV) ## Record anew what is relied on in AKShare; git shows what changed
	@$(BIN)/quantsync doctor --contracts --write $(ARGS)

fmt: $(DEV) ## Format the code
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

fmt-check: $(DEV) ## Say which files are not formatted
	@$(BIN)/ruff format --check

lint: $(DEV) ## Lint
	@$(BIN)/ruff check

types: $(DEV) ## Check the types
	@$(BIN)/mypy

arch: $(DEV) ## Check that imports point the right way
	@$(BIN)/lint-imports

lock: $(DEV) ## Write both lock files anew (ARGS="--upgrade" for newer versions)
	@compile() { $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		$(ARGS) "$$@" > /dev/null; }; \
	compile --group build --output-file requirements.lock; \
	compile --group dev --constraint requirements.lock --output-file requirements-dev.lock

worker: $(RUNTIME) ## Run the worker that fetches market data
	@$(CELERY) worker -Q quant_stock_queues,quant_concept_queues,quant_industry_queues \
		-P threads -c 8 --without-gossip --without-mingle -n quant@%h --loglevel INFO $(ARGS)

worker-admin: $(RUNTIME) ## Run the worker for reports, email, backups and clean-up
	@$(CELERY) worker -Q default,email_queues -P prefork --prefetch-multiplier 4 \
		--without-gossip --without-mingle -n admin@%h --loglevel INFO $(ARGS)

beat: $(RUNTIME) ## Run the scheduler
	@$(CELERY) beat --loglevel INFO $(ARGS)

flower: $(RUNTIME) ## Run the monitor behind basic auth (FLOWER_BASIC_AUTH=user:password)
	@$(BIN)/quantsync flower $(ARGS)

metrics: $(RUNTIME) ## Serve metrics for a collector (ARGS: --listen 127.0.0.1:9808)
	@$(BIN)/quantsync metrics $(ARGS)

simulator: $(RUNTIME) ## Run the market simulator
	@$(BIN)/quantsync simulator $(ARGS)

web: $(RUNTIME) ## Serve the API and the page (ARGS: --listen 127.0.0.1:8000)
	@$(BIN)/quantsync web $(ARGS)

up: $(RUNTIME) ## Run the whole embedded stack in the foreground
	@$(BIN)/quantsync up $(ARGS)

# The tests start their own node, so the package's service must not start: the policy file says so.
services: ## Install what pip cannot give: RabbitMQ, Chromium and systemd's tools for tests, Pango and a font for reports
ifneq ($(MISSING),)
	@command -v apt-get > /dev/null \
		|| { echo "there is no apt-get here: install what these Debian packages hold: $(MISSING)" >&2; exit 1; }
	@echo "installing $(MISSING)"
	@sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap "$$sudo rm -f $$policy" EXIT; \
		printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy > /dev/null; \
		$$sudo chmod +x $$policy; \
	fi; \
	$$sudo apt-get update -qq; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(MISSING)
else
	@:
endif

clean: ## Remove .venv, caches and build output (data in .quantsync stays)
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "quantsync needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null \
		|| { echo "Python cannot make virtual environments here: install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

$(RUNTIME): requirements.lock pyproject.toml | .venv/.stamp-venv
	@$(call install,requirements.lock)
	@touch $@

$(DEV): requirements-dev.lock pyproject.toml | .venv/.stamp-venv
	@$(call install,requirements-dev.lock)
	@touch $@ $(RUNTIME)
