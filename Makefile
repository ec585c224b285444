# `make` alone lists the targets. Everything runs in .venv, which `make venv` builds and rebuilds when the pins change.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.installed
SITE := .site/venv
DIR = $(shell mkdir -p .crashtest && mktemp -d .crashtest/XXXXXX)

.PHONY: help venv demo demo-chaos dev monitoring bench bench-quick test crashtest nightly values fuzz check docs format lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) ## install everything into .venv, at the versions of constraints.txt

ifneq ($(shell readlink .venv),)
$(READY): # of another worktree, which rebuilds it when its own pins change
else
$(READY): pyproject.toml constraints.txt scripts/venv.sh
	@echo "building .venv (a minute or two, once)"
	@scripts/venv.sh .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dagster,http,demo,dev,monitoring]'
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # pip compiles on one core only; a file that is no Python is no failure
	@touch $@
endif

demo: $(READY) ## a year of real weather and flights through the whole system, checked row by row (two minutes)
	@$(BIN)/python -m demo

demo-chaos: $(READY) ## the same, with kill -9 of a producer, a run worker, the daemon and the code server on the way
	@$(BIN)/python -m demo --chaos

test: $(READY) ## all tests, on four processes: with some of them waiting, two cores are at work
	@$(BIN)/python -m pytest -n 4 --dist worksteal -q

crashtest: $(READY) ## kill real processes 1,000 times, prove that nothing is lost or doubled; DIR=, KILLS=, SEED= choose
	@$(BIN)/python -m timestore_pipeline crashtest $(DIR) --kills $(or $(KILLS),1000) --seed $(or $(SEED),1) --clean

nightly: $(READY) ## what takes too long for every change: 1,000 kills by the seed of the day, all crashes, a wide search in the model test, ten minutes of hostile requests, an hour of values
	@$(MAKE) --no-print-directory crashtest SEED=$(or $(SEED),$(shell date +%Y%m%d))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dagster-dg-cli
	@HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -q --timeout 3600 tests/test_model.py tests/crash tests/tools/crashtest tests/live/test_starting.py tests/doors/landing/test_memory.py tests/attack/test_all_in_a_row.py tests/values
	@$(MAKE) --no-print-directory fuzz SEED=$(or $(SEED),$(shell date +%Y%m%d))
	@$(MAKE) --no-print-directory values SEED=$(or $(SEED),$(shell date +%Y%m%d))

values: $(READY) ## an hour of random values through every door, read by three engines; SECONDS=, SEED= choose
	@$(BIN)/python -m tests.values --seconds $(or $(SECONDS),3600) --seed $(or $(SEED),1) --processes 1 --living

fuzz: $(READY) ## ten minutes of hostile requests, made from the corpus in tests/attack by mutation; SECONDS=, SEED= choose
	@$(BIN)/python -m tests.attack.fuzz --seconds $(or $(SECONDS),600) --seed $(or $(SEED),1)

bench: $(READY) ## every target of docs/performance.md, beside PostgreSQL, Quack and others; AGAINST= an older commit (20 minutes, quiet machine)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m benchmarks --write $(if $(AGAINST),--against $(AGAINST))

bench-quick: $(READY) ## a durable write against the floor and write_deltalake, with loose limits (half a minute)
	@$(BIN)/python -m benchmarks --quick

dev: $(READY) ## the Dagster UI on port 3000 and one live producer, until Ctrl-C
	@$(BIN)/python -m demo dev

monitoring: $(READY) ## Prometheus, Pushgateway and Alertmanager with the rendered rules, until Ctrl-C
	@$(BIN)/python -m demo monitoring

check: $(READY) ## format, lint, types, layers, documents
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs/test_site.py tests/docs/test_documents.py

docs: $(SITE)/.installed ## the documents as a site in .site/html, searchable, with every link followed
	@$(SITE)/bin/python scripts/build_site.py

# An environment of its own: the site reads the sources without importing them, and tests do without its packages.
$(SITE)/.installed: pyproject.toml constraints.txt scripts/venv.sh
	@echo "building $(SITE) (half a minute, once)"
	@mkdir -p .site && scripts/venv.sh $(SITE)
	@$(SITE)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(SITE)/requirements.txt
	@$(SITE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r $(SITE)/requirements.txt
	@touch $@

format: $(READY) ## rewrite the code in the one format
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

lock: ## rewrite constraints.txt with the newest versions pyproject.toml allows
	scripts/lock.sh

clean: ## remove what make and the demo made; staged data under .timestore stays
	rm -rf .venv .site .cache .bench .demo .crashtest build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
