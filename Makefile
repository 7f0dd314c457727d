# Two commands matter: `make demo` and `make test`. Both make what they need; only Python >= 3.11 must be there.
# One environment, .venv: the demo installs the platform into it, the tests add the tools of development.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PINNED := pyproject.toml constraints.txt
TESTS := $(addprefix tests/,unit contract integration e2e faults benchmarks)
DATA ?=
DEMO_ARGS ?=
QUALITY_ARGS ?=
SERVING_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo install venv services test test-unit test-long lint format simulate-evaluation bench-quality bench-ingest bench-serving bench-evaluation lock docs clean

help: ## show this list
	@echo 'make TARGET, where TARGET is'
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf '  %-22s %s\n' "$$target" "$$what"; done

demo: $(VENV)/.demo ## the whole story on real data; DATA=FOLDER takes MovieLens folders, DEMO_ARGS=... is passed on
	@$(RUN)/understudy demo $(if $(DATA),--data '$(DATA)') $(DEMO_ARGS)

install: $(VENV)/.demo ## create .venv with the platform

venv: $(VENV)/.dev ## create .venv with everything, tools of development included

services: ## find or install the real servers that the tests use
	scripts/services

test: lint ## every check and every test but the long ones, unit tests first
	$(RUN)/pytest -m 'not long' $(TESTS)

test-unit: $(VENV)/.dev ## the unit tests alone: seconds
	$(RUN)/pytest -p no:schemathesis tests/unit

test-long: $(VENV)/.dev ## the tests that take longer than `make test` allows
	$(RUN)/pytest -m long $(TESTS)

simulate-evaluation: $(VENV)/.dev ## measure every figure of the online evaluation again and write them into its page
	OMP_NUM_THREADS=1 $(RUN)/python -m deploy.evaluation.simulate --keep .simulated --write docs/online-evaluation.md

bench-quality: $(VENV)/.dev ## how good the recommendations are, into docs/quality.md; QUALITY_ARGS=... is passed on
	$(RUN)/python -m tests.benchmarks.bench_quality --write docs/quality.md $(QUALITY_ARGS)

bench-ingest: $(VENV)/.dev ## what an event costs the reader, on Kafka and PostgreSQL, into docs/ingest.md
	$(RUN)/python -m tests.benchmarks.bench_ingest --write docs/ingest.md

bench-serving: $(VENV)/.dev ## what serving costs beside nginx, HAProxy and Chroma, into docs/serving-figures.md
	$(RUN)/python -m tests.benchmarks.bench_serving --write docs/serving-figures.md $(SERVING_ARGS)

bench-%: $(VENV)/.dev ## one benchmark, tests/benchmarks/test_%.py, with what it prints
	$(RUN)/pytest -s tests/benchmarks/test_$*.py

bench-evaluation: $(VENV)/.dev ## how long a look over a million exposures takes
	OMP_NUM_THREADS=1 $(RUN)/python -m tests.benchmarks.evaluation_speed

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

format: $(VENV)/.dev ## let ruff put the code in order
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

lock: $(VENV)/.dev ## refresh constraints.txt: resolve pyproject.toml anew, without installing
	$(RUN)/python scripts/lock.py

docs: $(VENV)/.dev ## refresh the README's table of variables
	$(RUN)/python -m scripts.settings_table

clean: ## remove caches and build output; .venv and var/ stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(VENV)/.demo: $(PINNED)
	@$(PYTHON) scripts/install.py demo

$(VENV)/.dev: $(PINNED)
	@$(PYTHON) scripts/install.py dev
