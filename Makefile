# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup sweep test test-long test-peers chaos faults docs report claims figures verify calibrate codecs dashboard perf peers perf-peers gpu-check gpu-data gpu-report data publish publish-instruments clean-environment

SWEEP ?= default
RESULTS ?= results
FORMAT ?= pdf
# The table that `make verify` checks: the published one of SWEEP if it exists, else the one in RESULTS.
TABLE = $(firstword $(wildcard results/published/$(SWEEP)/leaderboard.csv) $(RESULTS)/$(SWEEP)/leaderboard.csv)
# Options of the GPU check, and the file of its results.
GPU ?= --seconds 560
LINES ?= gpu-out/gpu.jsonl
# For maintainers: tracked pages whose tables are also rewritten:
# README=README.md by `make claims` and `make report`, PAGE=docs/perf.md by `make perf`, PAGE=docs/peers.md by `make peers`.
README =
PAGE =
# Trained VAEs that `make codecs` compresses test images with.
VAES = $(addprefix results/mnist/checkpoints/,d6726cebe9cf4dd8.ckpt dd7b73ee6d9cff77.ckpt) \
	$(addprefix results/weights/,mnist/585fc8df46ce5f14.ckpt fashion/73be168d5eed7214.ckpt fashion/ad7200978441efba.ckpt)
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
PEERS := .venv-peers
BENCH := $(VENV)/bin/bench
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
# Passed to `bench sweep`: WORKERS=1 (0: without Ray), WANDB=disabled, RETRY_FAILED=true, DRY_RUN=true,
# ONLY='task=digits-17 seed=1,2', STORAGE=s3://bucket/checkpoints, MAX_FAILURES=3
OPTIONS = $(if $(WORKERS),--workers $(WORKERS)) $(if $(WANDB),--wandb $(WANDB)) \
	$(if $(RETRY_FAILED),--retry_failed $(RETRY_FAILED)) $(if $(ONLY),--only '$(ONLY)') \
	$(if $(STORAGE),--storage $(STORAGE)) $(if $(DRY_RUN),--dry_run $(DRY_RUN)) \
	$(if $(MAX_FAILURES),--max_failures $(MAX_FAILURES))

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.'
	@# Its metadata requires Lightning < 2; --no-deps ignores that.
	@$(PIP) install --quiet --no-deps lightning-bolts==0.7.0
	@touch $@

$(VENV)/.ready-for-tests: $(VENV)/.ready
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@# Its metadata requires TensorBoard, which its flows do not import.
	@$(PIP) install --quiet --no-deps nflows==0.14
	@touch $@

setup: $(VENV)/.ready  ## create .venv and install the dependencies of runs

sweep: $(VENV)/.ready  ## run or resume the matrix configs/sweep/$(SWEEP).yaml and print its leaderboard
	@$(BENCH) sweep $(SWEEP) --results $(RESULTS) $(OPTIONS)

test: $(VENV)/.ready-for-tests  ## run the tests
	@$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile -m "not long"

test-long: $(VENV)/.ready-for-tests  ## run the tests that `make test` leaves out: a node that dies, a short chaos, all of `make perf` at its smallest
	@$(VENV)/bin/python -m pytest -m long

test-peers: $(VENV)/.ready-for-tests perf-peers  ## test the adapters of models with the peers' libraries, pythae among them
	@BENCH_PEERS=$$(echo $(CURDIR)/$(PEERS)/lib/python3*/site-packages) $(VENV)/bin/python -m pytest tests/adapters

chaos: $(VENV)/.ready-for-tests  ## kill workers, drivers and the node of a sweep 30 times and compare the tables
	@$(VENV)/bin/python -m tests.chaos

faults: $(VENV)/.ready-for-tests  ## plant faults in copies of the package, one at a time, and run the tests that must notice each
	@$(VENV)/bin/python -m tests.faults --results $(RESULTS) $(if $(WORKERS),--workers $(WORKERS)) $(if $(ONLY),--only '$(ONLY)')

docs: $(VENV)/.ready-for-tests  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --config-file docs/.mkdocs/mkdocs.yml --site-dir $(CURDIR)/site
	@echo "written: site/index.html"

report: $(VENV)/.ready  ## rebuild tables, figures and page.html of SWEEP from its records
	@$(BENCH) report $(SWEEP) --results $(RESULTS) $(if $(README),--readme $(README))

claims: $(VENV)/.ready  ## test the lecture's claims on SWEEP: results/$(SWEEP)/claims.csv and claims.html
	@$(BENCH) claims $(SWEEP) --results $(RESULTS) $(if $(README),--readme $(README)) $(if $(WORKERS),--workers $(WORKERS))

figures: $(VENV)/.ready  ## draw the figures of SWEEP and of its claims as FORMAT=pdf, svg or png into results/$(SWEEP)/figures/
	@$(VENV)/bin/python -m bench.claims.figure_files $(SWEEP) $(RESULTS) $(FORMAT)

verify: $(VENV)/.ready  ## repeat the published rows of SWEEP (or of TABLE) and compare the numbers; ROW=KEY or ROW='task=… model=…'
	@$(BENCH) verify $(TABLE) $(if $(ROW),--row '$(ROW)')

calibrate: $(VENV)/.ready  ## compare every estimator with a known truth: results/calibration/
	@$(BENCH) calibrate --results $(RESULTS)

dashboard: $(VENV)/.ready  ## send SWEEP to W&B: runs, artifacts, a saved report (needs `wandb login`)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dashboard]'
	@$(BENCH) dashboard $(SWEEP) --results $(RESULTS)

codecs: $(VENV)/.ready $(VAES)  ## measure PNG, WebP and others, and trained VAEs as codecs, on test images: results/codecs/
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[codecs]'
	@$(BENCH) codecs --results $(RESULTS) $(addprefix --checkpoints ,$(VAES))

# results/weights/SWEEP/KEY.ckpt: weights that are not kept, from the history.
results/weights/%.ckpt:
	@mkdir -p $(@D)
	@git cat-file blob 'f3d422d^:results/$(*D)/checkpoints/$(*F).ckpt' > $@.part && mv $@.part $@

perf: $(VENV)/.ready perf-peers  ## measure speed against floors, hand-written loops and peers: results/perf/
	@$(BENCH) perf --results $(RESULTS) --peers $(PEERS)/bin/python $(if $(PAGE),--page $(PAGE))

peers: $(VENV)/.ready-for-tests perf-peers  ## train models of other libraries by their own code and rank them beside ours: results/peers/
	@$(BENCH) sweep equal-budget --results $(RESULTS)/peers $(OPTIONS)
	@$(BENCH) peers --results $(RESULTS) --peers $(PEERS)/bin/python $(if $(PAGE),--page $(PAGE))

perf-peers: $(PEERS)/.ready  ## install the peers of `make perf` and `make peers` into a separate environment

$(PEERS)/.ready:
	@echo "setting up $(PEERS) (once; a minute or two)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet \
		torch==2.13.0 pythae==0.1.2 zuko==1.6.0 nflows==0.14 normflows==1.7.3 pykeops==2.3
	@touch $@

gpu-check: $(VENV)/.ready  ## measure on a GPU what only a GPU can show, in ten minutes; GPU=--dry tests it on the CPU
	@PYTHONPATH=. $(VENV)/bin/python tests/gpu_check.py $(GPU)

gpu-report: $(VENV)/.ready  ## write results/gpu/ from the lines of a GPU check
	@$(VENV)/bin/python -m tests.gpu.report $(LINES) $(RESULTS)/gpu

gpu-data: $(VENV)/.ready  ## put what a GPU's machine without network lacks into .gpu/
	@$(PIP) download --quiet --no-deps --only-binary=:all: --constraint constraints.txt --dest .gpu \
		--python-version 3.12 --implementation cp --platform manylinux2014_x86_64 \
		jsonargparse typeshed_client docstring_parser lightning-bolts==0.7.0 \
		pythae==0.1.2 pydantic pydantic-core annotated-types typing-inspection zuko==1.6.0
	@$(PIP) wheel --quiet --no-deps --wheel-dir .gpu nflows==0.14
	@$(VENV)/bin/python -m tests.gpu.carry .gpu
	@du -sh .gpu

publish:  ## for maintainers: rebuild results/published/default/ and its tables in README.md
	@$(MAKE) sweep report claims SWEEP=default RESULTS=results/published README=README.md

publish-instruments:  ## for maintainers: rebuild results/published/{calibration,codecs,faults,perf}/ and docs/perf.md
	@$(MAKE) calibrate codecs faults perf RESULTS=results/published PAGE=docs/perf.md

data: $(VENV)/.ready  ## fetch MNIST and Fashion-MNIST and print their source
	@$(BENCH) data

clean-environment:  ## remove .venv and .venv-peers
	rm -rf $(VENV) $(PEERS)
