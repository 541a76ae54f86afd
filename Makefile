# Every step that CI runs is a target here.
.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types imports pytest coverage soak bugs bench fmt synth lock clean

PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## say what the targets do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.venv/installed: requirements.txt lambdas/requirements.txt pyproject.toml
	@echo "Installing what massive-upload needs into .venv (a minute, once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --requirement requirements.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@$(BIN)/pip install --quiet --requirement requirements-dev.txt
	@touch $@

install: .venv/installed-dev ## install everything into .venv

demo: .venv/installed ## load 100,000 opportunities through the real state machine, here
	@$(BIN)/massive-upload demo

test: check pytest ## everything that CI runs: checks, then all tests

check: lint types imports ## read-only checks

lint: .venv/installed-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: .venv/installed-dev
	@$(BIN)/mypy --no-error-summary

imports: .venv/installed-dev | build
	@PYTHONPATH=.:lambdas $(BIN)/lint-imports --no-logo > build/imports.log 2>&1 || (cat build/imports.log; exit 1)

build:
	@mkdir -p build

# Files are handed out in the order of their names, short unit tests last. xdist's own order, most tests first, leaves
# files with one test of minutes to the end, where one processor waits for the other.
pytest: .venv/installed-dev ## all tests
	@$(BIN)/pytest --quiet -rs --numprocesses auto --dist loadfile --no-loadscope-reorder

coverage: .venv/installed-dev ## all tests, and which lines they reach; takes twice as long
	@$(BIN)/pytest --quiet -rs --numprocesses auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered

soak: .venv/installed-dev ## all tests, with every crash point, every variant and many more drawn loads; takes over an hour
	@SOAK=1 $(BIN)/pytest --quiet -rs --timeout 0 --numprocesses auto --dist loadfile --no-loadscope-reorder

bugs: .venv/installed-dev ## put each seeded bug into a copy of the tree and show that its test fails
	@$(BIN)/python -m tests.seeded_bugs

bench: .venv/installed-dev ## measure what docs/performance.md tells, in small; takes about half an hour
	@$(BIN)/python -m benchmarks.packaging
	@$(BIN)/python -m benchmarks.locks
	@$(BIN)/python -m benchmarks.data_path
	@$(BIN)/python -m benchmarks.engine

fmt: .venv/installed-dev ## rewrite the code as the checks want it
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

synth: .venv/installed ## write the CloudFormation template to cdk.out; needs neither AWS nor Node.js
	@CDK_OUTDIR=cdk.out $(BIN)/python app.py && echo "cdk.out/MassiveUpload.template.json"

lock: .venv/installed ## pin what the Lambda layer holds, with hashes
	@$(BIN)/python -m infra.lock

clean: ## remove what was built and installed; what runs have left in out/ stays
	@rm -rf .venv build cdk.out node_modules
