# Every target works in a fresh clone: .venv is made on first use.
PY := .venv/bin/python

.PHONY: help setup build test test-fast test-live lint format schema bench bench-update \
	bench-gateway bench-experts clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/dev.stamp: requirements/dev.txt
	test -x $(PY) || python3 -m venv .venv
	.venv/bin/pip install --quiet --require-hashes -r requirements/dev.txt
	cp requirements/dev.txt $@

setup: .venv/dev.stamp ## Make the virtual environment with everything the tests need
	$(PY) -m toolchain

build: setup
	PYTHONPATH=.:images/base:images/llama $(PY) tests/live/build.py

test: build ## Run all tiers: pure, mocks, services, live
	$(PY) -m pytest

test-fast: .venv/dev.stamp ## Run what needs no engine, no Nomad and no model (seconds)
	$(PY) -m pytest -q -n 2 -m "not live and not service" --ignore=tests/live

test-live: build ## Run only the tests against the real engine, Nomad, llama-server
	$(PY) -m pytest -m live

lint: .venv/dev.stamp ## Check style, types and shell
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	bash -n bootstrap.sh .ci/run

format: .venv/dev.stamp ## Rewrite the code in the house style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

schema: .venv/dev.stamp ## Regenerate the JSON Schema of the stack file
	PYTHONPATH=.:images/base $(PY) -m components.model.schema > components/model/stack.schema.json

bench: bench-update bench-gateway bench-experts ## Measure everything beside its peers (root, ~25 min)

bench-update: setup ## Measure an unchanged update against an empty program, side by side
	PYTHONPATH=.:images/base $(PY) tests/bench/unchanged_update.py

bench-gateway: setup ## Measure the gateway beside nginx, haproxy and other routers (root, ~20 min)
	PYTHONPATH=.:images/base:images/llama $(PY) tests/bench/gateway/__main__.py

bench-experts: build ## Measure the gateway before real llama-servers: tokens per second, prompt caches
	PYTHONPATH=.:images/base:images/llama $(PY) -m tests.bench.gateway.through
	PYTHONPATH=.:images/base:images/llama $(PY) -m tests.bench.gateway.affinity

clean: ## Remove caches of the tools (never .hearth: it holds the state)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
