# One target per thing a developer does. Needs Python >= 3.11, make and git; makes everything else under .cache/.

DB ?= sqlite
DRIVER ?= psycopg2
ARGS ?=
MINUTES ?= 10
EXTENT ?= all

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
export PYTHON

CACHE := .cache
# The versions to use, best first. The oldest supported Python is tested first, because it breaks first.
OLDEST := 3.11 3.12 3.13 3.14
NEWEST := 3.13 3.14 3.12

has_newest = tools/find_python.sh $(NEWEST) >/dev/null 2>&1
environment = tools/environment.sh $(@D)
inputs := pyproject.toml tools/environment.sh tools/find_python.sh
# What lint, types and layers look at: whatever of these exists.
sources := $(wildcard django_partisan tests tools example benchmarks)

.DEFAULT_GOAL := help
.PHONY: help demo demo-serve test test-pairs test-all test-oldest test-newest faults lint format types layers audit docs bench bench-conditions bench-peers \
	soak wheel clean

help: ## list these targets
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(CACHE)/venv-demo/.ready ## index the standard library as tasks; DB=sqlite (default) or DB=postgres
	@exec $(<D)/bin/python example/demo.py --database $(DB) $(ARGS)

demo-serve: $(CACHE)/venv-demo/.ready ## look at what the demo indexed; DB=sqlite (default) or DB=postgres
	@exec $(<D)/bin/python example/demo.py --database $(DB) --serve $(ARGS)

test: ## the suite on both databases and both ends of the versions, what starts processes once; ARGS="-k words" or ARGS=tests/unit
	@$(MAKE) --keep-going test-oldest test-newest EXTENT=once

test-pairs: ## what decides a merge: what starts processes once on each database and once at each end
	@$(MAKE) --keep-going test-oldest test-newest EXTENT=pairs

test-all: ## the whole suite on every database at both ends of the version range
	@$(MAKE) --keep-going test-oldest test-newest

test-oldest: $(CACHE)/venv-test/.ready ## the suite on the oldest Python, Django 5.2 and psycopg 2
	@$(has_newest) && extent=$(EXTENT); \
		exec $(<D)/bin/python -m tools.run_tests --end oldest --extent $${extent:-all} $(ARGS)

test-newest: ## the suite on Python 3.13, Django 6.1 and psycopg 3, where such a Python exists
	@if $(has_newest); then \
		$(MAKE) -s $(CACHE)/venv-test-newest/.ready && \
		exec $(CACHE)/venv-test-newest/bin/python -m tools.run_tests --end newest --extent $(EXTENT) $(ARGS); \
	else \
		echo "SKIPPED: Django 6.1 needs Python 3.12 or newer, and there is none here."; \
	fi

faults: $(CACHE)/venv-test/.ready ## try every fault, the long ones too (30 minutes); ARGS="-k words"
	@exec $(<D)/bin/python -m tools.run_tests --only sqlite,embedded --long -n0 -v tests/processes tests/faults tests/soak $(ARGS)

lint: $(CACHE)/venv-lint/.ready ## check style and formatting
	@$(<D)/bin/ruff check $(sources) docs/conf.py
	@$(<D)/bin/ruff format --check $(sources) docs/conf.py

format: $(CACHE)/venv-lint/.ready ## rewrite what ruff can rewrite
	@$(<D)/bin/ruff check --fix-only $(sources) docs/conf.py
	@$(<D)/bin/ruff format $(sources) docs/conf.py

types: $(CACHE)/venv-lint/.ready ## check the types, strictly
	@$(<D)/bin/python -m mypy $(filter-out example,$(sources))
	@cd example && $(abspath $(<D))/bin/python -m mypy . # a project of its own, with its own settings

layers: $(CACHE)/venv-lint/.ready ## check that imports only point downwards
	@$(<D)/bin/lint-imports --no-logo

.PHONY: map
map: ## draw the map of rooms anew, after a change of the contract or of imports between rooms
	@exec "$$(tools/find_python.sh $(OLDEST))" -m tools.draw_map

audit: $(CACHE)/venv-audit/.ready ## ask for known vulnerabilities in what an installation brings along
	@$(<D)/bin/pip-audit --strict --progress-spinner off . || { \
		echo "audit: a vulnerability is known, or the advisory service could not be asked; see above." >&2; exit 1; }

docs: $(CACHE)/venv-docs/.ready ## build the documentation; warnings are errors
	@$(<D)/bin/python -m sphinx -q -n -W --keep-going -d .cache/doctrees -b html docs docs/_build/html
	@echo "docs: open docs/_build/html/index.html"

bench: $(CACHE)/venv-bench-$(DRIVER)/.ready ## measure on an embedded PostgreSQL; DRIVER=psycopg2 or DRIVER=psycopg
	@exec $(<D)/bin/python -m benchmarks bench $(ARGS)

bench-conditions: $(CACHE)/venv-bench-$(DRIVER)/.ready ## measure under hard conditions (10 minutes); DRIVER=... as above
	@exec $(<D)/bin/python -m benchmarks conditions $(ARGS)

bench-peers: $(CACHE)/venv-bench-peers/.ready ## measure beside other task queues (15 minutes); ARGS="--peers NAME,NAME"
	@exec $(<D)/bin/python -m benchmarks.peers $(ARGS)

soak: $(CACHE)/venv-test/.ready ## watch whether anything grows in a mixed load; MINUTES=10
	@exec $(<D)/bin/python -m tests.soak --minutes $(MINUTES) $(ARGS)

wheel: $(CACHE)/venv-wheel/.ready ## build the wheel and the source archive into dist/
	@$(<D)/bin/python -m build --outdir dist .

clean: ## remove every environment, build, cache and demo database
	@rm -rf .cache .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis \
		build dist docs/_build docs/_generated .coverage* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CACHE)/venv-demo/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[demo]'

$(CACHE)/venv-test/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[test]' 'Django>=5.2,<5.3'

$(CACHE)/venv-test-newest/.ready: $(inputs)
	@$(environment) "$(NEWEST)" -e '.[test,psycopg3]' 'Django>=6.1,<6.2'

$(CACHE)/venv-lint/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[lint,test,psycopg3]' 'Django>=5.2,<5.3'

$(CACHE)/venv-audit/.ready: $(inputs)
	@$(environment) "$(OLDEST)" pip-audit

$(CACHE)/venv-docs/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[docs]'

$(CACHE)/venv-bench-psycopg2/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[bench]'

$(CACHE)/venv-bench-psycopg/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[bench,psycopg3]'

$(CACHE)/venv-bench-peers/.ready: $(inputs)
	@$(environment) "$(OLDEST)" -e '.[bench,bench-peers]'

$(CACHE)/venv-wheel/.ready: $(inputs)
	@$(environment) "$(OLDEST)" build
