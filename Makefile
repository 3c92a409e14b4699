# `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup sweep test test-long chaos docs report claims verify calibrate codecs dashboard perf perf-peers data publish publish-instruments clean-environment

SWEEP ?= default
RESULTS ?= results
# What `make verify` holds new runs against: what is published of SWEEP, else what is in RESULTS.
TABLE = $(firstword $(wildcard results/published/$(SWEEP)/leaderboard.csv) $(RESULTS)/$(SWEEP)/leaderboard.csv)
# For maintainers: tables of tracked pages that are rewritten too, where these are named:
# README=README.md by `make claims` and `make report`, PAGE=docs/perf.md by `make perf`.
README =
PAGE =
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
PEERS := .venv-peers
BENCH := $(VENV)/bin/bench
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
# Given on to `bench sweep`: WORKERS=1, WANDB=disabled, RETRY_FAILED=true, DRY_RUN=true,
# ONLY='task=digits-17 seed=1,2', STORAGE=s3://bucket/checkpoints, MAX_FAILURES=3
OPTIONS = $(if $(WORKERS),--workers $(WORKERS)) $(if $(WANDB),--wandb $(WANDB)) \
	$(if $(RETRY_FAILED),--retry_failed $(RETRY_FAILED)) $(if $(ONLY),--only '$(ONLY)') \
	$(if $(STORAGE),--storage $(STORAGE)) $(if $(DRY_RUN),--dry_run $(DRY_RUN)) \
	$(if $(MAX_FAILURES),--max_failures $(MAX_FAILURES))

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.'
	@# Its metadata asks for Lightning < 2, which only --no-deps gets past.
	@$(PIP) install --quiet --no-deps lightning-bolts==0.7.0
	@touch $@

$(VENV)/.ready-for-tests: $(VENV)/.ready
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

setup: $(VENV)/.ready  ## create .venv and install what runs need

sweep: $(VENV)/.ready  ## run the matrix configs/sweep/$(SWEEP).yaml, resume it, print its leaderboard
	@$(BENCH) sweep $(SWEEP) --results $(RESULTS) $(OPTIONS)

test: $(VENV)/.ready-for-tests  ## run the tests
	@$(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile -m "not long"

test-long: $(VENV)/.ready-for-tests  ## run what takes minutes each: a node that dies, chaos in short
	@$(VENV)/bin/python -m pytest -m long

chaos: $(VENV)/.ready-for-tests  ## kill workers, drivers and the node of a sweep 30 times and compare its tables
	@$(VENV)/bin/python -m tests.chaos

docs: $(VENV)/.ready-for-tests  ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --config-file docs/.mkdocs/mkdocs.yml --site-dir $(CURDIR)/site
	@echo "written: site/index.html"

report: $(VENV)/.ready  ## rebuild tables, figures and page.html of SWEEP from its records
	@$(BENCH) report $(SWEEP) --results $(RESULTS) $(if $(README),--readme $(README))

claims: $(VENV)/.ready  ## measure the lecture's claims on SWEEP: results/$(SWEEP)/claims.csv and claims.html
	@$(BENCH) claims $(SWEEP) --results $(RESULTS) $(if $(README),--readme $(README)) $(if $(WORKERS),--workers $(WORKERS))

verify: $(VENV)/.ready  ## run the published rows of SWEEP again (or TABLE's) and judge the numbers; ROW=KEY or ROW='task=… model=…'
	@$(BENCH) verify $(TABLE) $(if $(ROW),--row '$(ROW)')

calibrate: $(VENV)/.ready  ## hold every estimator against a known truth: results/calibration/
	@$(BENCH) calibrate --results $(RESULTS)

dashboard: $(VENV)/.ready  ## send SWEEP to W&B: runs, artifacts, a saved report (needs `wandb login`)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dashboard]'
	@$(BENCH) dashboard $(SWEEP) --results $(RESULTS)

codecs: $(VENV)/.ready  ## measure PNG, WebP, JPEG XL and others on the 8-bit test images: results/codecs/
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[codecs]'
	@$(BENCH) codecs --results $(RESULTS)

perf: $(VENV)/.ready perf-peers  ## measure speed against floors, bare loops and peers: results/perf/
	@$(BENCH) perf --results $(RESULTS) --peers $(PEERS)/bin/python $(if $(PAGE),--page $(PAGE))

perf-peers: $(PEERS)/.ready  ## install the peers of `make perf`, into an environment of their own

$(PEERS)/.ready:
	@echo "setting up $(PEERS) (once; a minute or two)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet \
		torch==2.13.0 pythae==0.1.2 zuko==1.6.0 nflows==0.14 normflows==1.7.3 pykeops==2.3
	@touch $@

publish:  ## for maintainers: make results/published/default/ and its tables in README.md anew
	@$(MAKE) sweep report claims SWEEP=default RESULTS=results/published README=README.md

publish-instruments:  ## for maintainers: make results/published/{calibration,codecs,perf}/ and docs/perf.md anew
	@$(MAKE) calibrate codecs perf RESULTS=results/published PAGE=docs/perf.md

data: $(VENV)/.ready  ## fetch MNIST and Fashion-MNIST, and say which way it took
	@$(BENCH) data

clean-environment:  ## remove .venv and .venv-peers
	rm -rf $(VENV) $(PEERS)
