# Two commands for newcomers: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
KRP := $(BIN)/krp
# One thread per process: the work is spread over processes, and more threads only fight for the same cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
# The packages are installed without byte code, so the first import must be allowed to write it: without it every
# process compiles all it imports again (mlflow: 7 CPU seconds instead of 2).
unexport PYTHONDONTWRITEBYTECODE
# Neighbouring tests stay in one process, which makes what they share (experiments, servers, stores) only once.
PARALLEL := -n auto --dist worksteal
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-input

TRIAL := demo/trial
FEATURES := demo/features
EXPERIMENT := experiments/baseline_prediction.toml

# Fuzzing, kills, tampering, leaks, load: what can be shortened to seconds. The statistics cannot. The longest stand
# first, so that no process is left alone with one of them at the end.
UNDER_ATTACK := $(patsubst %,tests/robustness/test_%.py,api_contract unreachable_registry killed_training reproducible \
  soak bombs killed_service failing_surroundings overload read_only health_data_leaks malformed_scans malformed_tables \
  sbom no_pickle tampered_bundles)

.PHONY: help run test check lint format types imports container-steps ci-check bench robust robust-short docs site mlflow requirements sbom clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

run: .venv/runtime  ## simulate a trial, extract, train, register, promote, serve on http://127.0.0.1:8000
	@sh experiments/demo.sh

test: .venv/dev  ## every quick test
	$(BIN)/python -m pytest $(PARALLEL)

# The site's tools first: they hold the tests' tools, so everything is installed once.
check: .venv/docs  ## what CI runs
	@$(MAKE) --no-print-directory -j 2 -O types format lint imports container-steps
	@$(MAKE) --no-print-directory test robust-short site ci-check

format: .venv/dev
	$(BIN)/ruff format --check .

lint: .venv/dev
	$(BIN)/ruff check .

types: .venv/dev
	$(BIN)/mypy

imports: .venv/dev
	$(BIN)/lint-imports --no-cache

container-steps: .venv/dev
	$(BIN)/python tests/robustness/dockerfile_steps.py

ci-check: .venv/runtime
	$(KRP) ci-check

bench: .venv/dev  ## benchmarks: speed and memory beside targets and others, one table in docs/benchmarks
	@$(BIN)/python tests/benchmarks/benchmark_run.py

robust: .venv/dev  ## long checks: simulated studies and cohorts by the hundred; fuzzing, kills, leaks and load
	KRP_ROBUST=long KRP_SOAK_S=$${KRP_SOAK_S:-1800} $(BIN)/python -m pytest -n auto tests/robustness
	$(BIN)/python tests/robustness/fuzz_nifti_reader.py

robust-short: .venv/dev  ## the service under attack, each check for some seconds
	KRP_ROBUST=short $(BIN)/python -m pytest $(PARALLEL) -q $(UNDER_ATTACK)

docs: .venv/docs  ## the documentation site in build/docs: offline, warnings are errors, every link checked
	@rm -rf build/docs build/doctrees docs/generated  # what is made from code notices no change of it
	$(BIN)/python -m sphinx -W --keep-going -q -j auto $(UNRUN) -d build/doctrees docs build/docs
	$(BIN)/python docs/check_site.py build/docs

# Notebook and gallery have been run by the tests before; here they are pages like others.
site:
	@$(MAKE) --no-print-directory docs UNRUN='-D nb_execution_mode=off -D plot_gallery=0'

mlflow: .venv/runtime  ## open MLflow's page on the project's store
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db --host 127.0.0.1 --port 5000

sbom: .venv/dev  ## list every package of the service with its hashes (CycloneDX, sbom.json)
	@$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json

requirements: .venv/dev  ## pin every dependency again, with hashes
	cd requirements && for set in runtime dev docs; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --upgrade $$set.in -o $$set.txt; done

clean:  ## remove what make run and the tools wrote; the environment stays
	rm -rf demo build dist docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; name one with `make PYTHON=python3.12 ...`")'
	$(PYTHON) -m venv .venv
	@touch $@

# Without byte code at installation: it is compiled for what is really imported, which saves half the time.
.venv/runtime: .venv/python requirements/runtime.txt pyproject.toml
	@start=$$(date +%s); $(PIP) --no-compile --require-hashes -r requirements/runtime.txt && \
	  $(PIP) --no-deps --no-build-isolation -e . && \
	  echo "[1/6] Environment            .venv ready  $$(( $$(date +%s) - start )) s"
	@touch $@

.venv/dev: .venv/python requirements/dev.txt pyproject.toml
	$(PIP) --no-compile --require-hashes -r requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ .venv/runtime

.venv/docs: .venv/python requirements/docs.txt pyproject.toml
	$(PIP) --no-compile --require-hashes -r requirements/docs.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ .venv/runtime .venv/dev
