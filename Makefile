# `make run` and `make test` are all that a newcomer needs; each installs into .venv what is missing, once.
#
#   make run ARGS="--params data_root=elsewhere"     options of kedro run
#   make test ARGS="tests/models -x"                 options of pytest
#   make tables MNIST=folder FASHION_MNIST=folder    of IDX files, else they are fetched
#   make run PYTHON=python3.12                       another Python, 3.11 or newer
#
# On Linux pip takes the CUDA build of torch; PIP_EXTRA_INDEX_URL with an index of CPU builds takes the smaller one.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install run test proofs wheel tables figures classifiers check format docs notebooks viz mlflow constraints clean clean-data

PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
ALL_INSTALLED := .venv/.all_installed
COMMA := ,
GPU := $(if $(shell command -v nvidia-smi),$(COMMA)gpu)
PIP_INSTALL = $(BIN)/python -m pip install -qq --no-compile -c constraints.txt -e
MLFLOW_VIEW := http://127.0.0.1:5000/\#/experiments/1/runs?workflowType=machine_learning
export DO_NOT_TRACK := true

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Fieldcast needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo 'installing into .venv what the demo, MLflow and kedro viz need: 1.6 GB with the CPU build of torch, two minutes'
	@$(PIP_INSTALL) '.[mlflow,viz$(GPU)]'
	@touch $@

$(ALL_INSTALLED): $(INSTALLED)
	@echo 'installing into .venv what tests and documents need'
	@$(PIP_INSTALL) '.[dev,dask,docs,era5,export,mlflow,viz$(GPU)]'
	@$(PIP_INSTALL) '.[peers]' || echo 'without the packages that benchmarks compare with: they leave them out'
	@touch $@

install: $(ALL_INSTALLED) ## .venv with everything in it

run: $(INSTALLED) ## the demo, from weather data to a report
	@$(if $(ARGS),:,echo 'simulates weather, trains, fills, forecasts and samples; about nine minutes on two cores, then the tables')
	@$(BIN)/kedro run --runner ParallelRunner $(ARGS)
	@echo
	@echo 'history    make mlflow    then $(MLFLOW_VIEW)'
	@echo 'the graph  make viz'

TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: $(ALL_INSTALLED) ## tests and checks, but for the proofs
	@$(TESTS) $(ARGS)

proofs: $(ALL_INSTALLED) ## kills, damage, real processes, every experiment end to end, studies
	@$(TESTS) -m proof --timeout 1800 $(ARGS)

ENV ?= demo
wheel: $(INSTALLED) ## the wheel, tried alone in an empty environment; ENV=test for a small planet
	@rm -rf build/wheel && mkdir -p build/wheel
	@$(BIN)/python -m pip wheel -q --no-deps --wheel-dir build/wheel .
	@$(PYTHON) -m venv build/wheel/alone
	@build/wheel/alone/bin/python -m pip install -qq -c constraints.txt build/wheel/*.whl
	@alone=$$PWD/build/wheel/alone/bin && cd "$$(mktemp -d)" && pwd \
		&& $$alone/fieldcast run --env $(ENV) && $$alone/fieldcast doctor --env $(ENV)
	@ls build/wheel/*.whl

SETTING ?= reduced
EXPERIMENTS = planet sea_level_pressure winter
SCRIPT = $(if $(filter assimilate,$(SETTING)),assimilation_tables,$(if \
	$(filter $(EXPERIMENTS),$(SETTING)),experiment_tables,make_tables) $(SETTING))
tables: $(ALL_INSTALLED) ## tables of docs/results; hours, can be interrupted; SETTING: see docs/tables.md
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m proof studies/tests
	@$(BIN)/python -m studies.$(SCRIPT) $(if $(FILE),--path $(FILE)) \
		$(if $(MNIST),--mnist $(MNIST)) $(if $(FASHION_MNIST),--fashion-mnist $(FASHION_MNIST)) $(ARGS)

classifiers: $(ALL_INSTALLED) ## train the classifiers in whose features FID and KID are computed; then rerun the tables
	@$(BIN)/python -m studies.make_classifiers \
		$(if $(MNIST),--mnist $(MNIST)) $(if $(FASHION_MNIST),--fashion-mnist $(FASHION_MNIST))

figures: $(ALL_INSTALLED) ## the pictures of the documents from stored numbers; RUNS="FOLDER ..." first stores those of finished runs
	@$(BIN)/python -m studies.make_figures $(if $(RUNS),--store $(RUNS))

check: $(ALL_INSTALLED) ## style, import directions, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: $(ALL_INSTALLED) ## format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(ALL_INSTALLED) ## the documentation site
	@$(BIN)/mkdocs build --strict 2> >(grep -E '^(WARNING|ERROR)|Aborted' >&2)
	@echo 'open site/index.html; to search it, $(BIN)/python -m http.server --directory site'

notebooks: $(ALL_INSTALLED) ## the stored outputs of notebooks, from the results of make run
	@$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False notebooks/*.ipynb

viz: $(INSTALLED) ## the graph of pipelines in the browser
	@PYTHONWARNINGS=ignore $(BIN)/kedro viz run

mlflow: $(INSTALLED) ## the history of runs: curves, scores, figures
	@echo 'open $(MLFLOW_VIEW)    (Ctrl-C ends)'
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db --workers 1

constraints: ## rewrite constraints.txt with the newest compatible versions (needs uv)
	env -u PIP_FIND_LINKS -u UV_FIND_LINKS uv pip compile --universal --python-version 3.11 --extra dask --extra dev --extra docs --extra era5 --extra export --extra gpu --extra mlflow --extra peers --extra projections --extra s3 --extra viz \
		--no-annotate --upgrade pyproject.toml -o constraints.txt

clean: ## caches and builds; no data, no trained model
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .viz
	find src tests benchmarks studies -name __pycache__ -prune -exec rm -rf {} +

clean-data: ## delete everything that runs have made: data, trained models, reports, history
	find data -type f ! -name .gitkeep -delete
	find data -mindepth 2 -type d -empty -delete
	rm -rf mlflow.db mlartifacts
