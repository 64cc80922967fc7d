# Every command a developer needs; `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Which Python makes the environment (3.11 or newer), and how many test processes run at a time.
PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
COMPILE = $(BIN)/uv --no-config pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --annotation-style line --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

.PHONY: help demo test lint format venv servers lock docs bench-collect bench-history bench-journal bench-rules mutate simulate clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.demo ## a real PostgreSQL with a replica, a workload and the daemon; FOR=60 ends it after 60 seconds
	@exec $(BIN)/dbarchitect demo $(if $(FOR),--for "$(FOR)")

test: .venv/.test servers ## everything: installs the servers that tests need, then runs all tests (ARGS="-k word")
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: .venv/.test ## style, types and the order of imports; says everything that is wrong, then fails
	@failed=
	for check in "ruff check" "ruff format --check" mypy "lint-imports --no-logo"; do
		echo "$$check"; $(BIN)/$$check || failed="$$failed $$check;"
	done
	if [ "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

format: .venv/.test ## put the code into shape
	@$(BIN)/ruff check --fix
	$(BIN)/ruff format

venv: .venv/.test ## the environment for development, in .venv

servers: .venv/.test ## PostgreSQL 14 to 18, pgBouncer and Prometheus for the tests
	@$(BIN)/python tests/install_servers.py

lock: .venv/.test ## choose and pin the packages anew (UPGRADE=--upgrade takes the newest)
	@$(COMPILE) --output-file requirements/run.txt
	$(COMPILE) --output-file requirements/demo.txt --constraint requirements/run.txt --extra demo --group build
	$(COMPILE) --output-file requirements/test.txt --constraint requirements/demo.txt --extra demo \
		--group build --group test --group lint

docs: .venv/.test ## write docs/metrics.md and docs/actions.md from the catalogues
	@$(BIN)/dbarchitect metrics --output markdown > docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md
	@$(BIN)/dbarchitect actions --output markdown > docs/actions.md.new
	mv docs/actions.md.new docs/actions.md

bench-collect: .venv/.test servers ## what watching costs, beside prometheus-postgres-exporter on the same server (ARGS="--quick")
	@$(BIN)/python -m tests.bench.collect $(ARGS)

bench-history: .venv/.test ## which engine keeps the history best; DuckDB comes into .bench for it (ARGS="--targets 10")
	@$(BIN)/uv --no-config pip install --quiet --target .bench --no-deps duckdb==2.0.0 pyarrow==26.0.1
	PYTHONPATH=.bench $(BIN)/python -m tests.bench.history $(ARGS)

bench-journal: .venv/.test ## what a journal of 1,000,000 records costs: start, claims, verification (ARGS="--records 100000 --server")
	@$(BIN)/python -m tests.bench.journal $(ARGS)

bench-rules: .venv/.test servers ## what judging costs, and Prometheus on the same series (ARGS="--quick")
	@$(BIN)/python -m tests.bench.rules $(ARGS)

simulate: .venv/.test ## safe acting under faults in virtual time, by seeds (SEEDS=10000 ARGS="--first 500")
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --jobs $(JOBS) $(ARGS)

mutate: .venv/.test ## change the code that safe acting rests on, count what tests notice (ARGS="guards --show")
	@$(BIN)/python -m tests.mutate --jobs $(JOBS) $(ARGS)

clean: ## remove the environment, the unpacked servers and all caches
	rm -rf .venv .servers .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

# The test packages include those of the demo: where they are, `make demo` has nothing to do.
.venv/.demo: requirements/demo.txt pyproject.toml
	@requirements/install.sh "$(PYTHON)" demo

.venv/.test: requirements/test.txt pyproject.toml
	@requirements/install.sh "$(PYTHON)" test
	touch .venv/.demo
