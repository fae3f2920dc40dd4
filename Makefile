# pyroscope-operator. `make help` lists the targets; a fresh machine needs only
# `make demo` and `make test`, which install everything into .venv and .cache.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
CACHE := .cache
export PIP_CACHE_DIR := $(CURDIR)/$(CACHE)/pip
# cargo's downloads and what it builds.
export CARGO_HOME := $(CURDIR)/$(CACHE)/cargo
export CARGO_TARGET_DIR := $(CURDIR)/$(CACHE)/target
export PYO3_PYTHON := $(CURDIR)/$(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Nobody's own cluster or Pyroscope is ever touched; E2E_KUBECONFIG and E2E_PYROSCOPE_URL are the switches.
unexport KUBECONFIG PYROSCOPE_URL

STAGE = $(PY) -m e2e.harness.stage

.PHONY: help install lock generate lint type imports native fuzz bench bench-delta unit go-test build e2e e2e-node test demo screenshots soak check clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-11s %s\n", $$1, $$2}'

install: $(INSTALLED) ## create .venv with the pinned dependencies and the operator in it

NATIVE := $(wildcard native/Cargo.* native/src/*.rs)

$(INSTALLED): requirements.lock pyproject.toml $(NATIVE)
	@echo "[install] virtual environment, pinned packages and the native core (about two minutes the first time)"
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PY) -m pip install --quiet --require-hashes -r requirements.lock
	@# maturin's hooks call its program.
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

COMPILE := $(PY) -m uv pip compile --quiet --generate-hashes --python-version 3.11 --universal --no-header

lock: $(INSTALLED) ## renew requirements.lock from pyproject.toml, and the image's two parts of it
	$(COMPILE) --upgrade --group dev pyproject.toml -o requirements.lock
	$(COMPILE) --no-annotate -c requirements.lock pyproject.toml -o requirements-runtime.lock
	$(COMPILE) --no-annotate -c requirements.lock --group build -o requirements-build.lock

generate: $(INSTALLED) ## write crds/, dashboards/, the chart's copies and README, docs/api.md, docs/metrics.md, docs/settings.md and the protobuf code from their sources
	$(PY) scripts/generate.py

lint: $(INSTALLED) ## ruff: style and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

type: $(INSTALLED) ## mypy, strict
	$(PY) -m mypy

imports: $(INSTALLED) ## imports point downwards
	$(VENV)/bin/lint-imports --no-logo

uptodate: $(INSTALLED) ## generated files are those of their sources
	$(PY) scripts/generate.py --check

native: $(INSTALLED) ## the native core: rustfmt, clippy and its own tests
	cd native && cargo fmt --check
	cd native && cargo clippy --quiet --locked --all-targets --features python -- -D warnings
	cd native && cargo test --quiet --locked --lib

FUZZ_SECONDS ?= 600
FUZZ_CORPUS := $(CURDIR)/$(CACHE)/fuzz/corpus
# What cargo-fuzz would set; without a sanitizer, as there is no unsafe code, a stable compiler will do.
FUZZ_FLAGS := -Cpasses=sancov-module $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)

fuzz: $(INSTALLED) ## fuzz the native core: guided by coverage, then beside the oracle, FUZZ_SECONDS each
	$(PY) tests/unit/pprof/pprof_fuzz.py --write $(FUZZ_CORPUS)
	cd native/fuzz && RUSTFLAGS="$(FUZZ_FLAGS)" CARGO_TARGET_DIR=$(CURDIR)/$(CACHE)/fuzz/target \
	  cargo run --release --quiet --locked --target $$(rustc -vV | sed -n 's/host: //p') -- $(FUZZ_CORPUS) \
	  -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10 -rss_limit_mb=512 -artifact_prefix=$(CURDIR)/$(CACHE)/fuzz/ -print_final_stats=1
	$(PY) tests/unit/pprof/pprof_fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ_CORPUS)

check: lint type imports uptodate native ## everything that needs no test run

unit: $(INSTALLED) ## unit and component tests
	$(PY) -m pytest

build: $(INSTALLED) ## build the testbed's Go programs into .cache (about 6 minutes the first time)
	$(PY) -m e2e.harness.build

go-test: build ## vet and test the testbed's own Go code
	$(PY) -m e2e.harness.gotest

e2e: build ## end-to-end tests on a real kube-apiserver, real Go processes and a real receiver
	$(PY) -m pytest e2e

e2e-node: build ## the chart and the image on a real node, installed as the README says (needs root; skipped loudly without)
	@$(PY) -m e2e.node

test: $(INSTALLED) ## everything: check, unit, go-test, e2e, e2e-node; prints how long each stage took
	@$(STAGE) check unit build go-test e2e e2e-node

demo: build ## the main job on an embedded control plane
	@$(PY) -m e2e.demo

screenshots: build ## the pictures of docs/targets.md, of a real operator in headless Chromium (not part of make test)
	@$(PY) -m e2e.screenshots

soak: build ## an hour of churn and faults; writes docs/soak.md (not part of make test)
	$(PY) -m e2e.soak $(SOAK_FLAGS)

bench: build ## what the operator costs, beside a scraper in Go; writes docs/performance.md (about 25 min; not part of make test)
	@$(PY) -m bench --report docs/performance.md $(BENCH_FLAGS)

bench-delta: build ## what the delta core costs, beside the oracle and beside Go's gzip (not part of make test)
	@$(PY) -m e2e.delta_bench

clean: ## remove what the build made, the caches included
	rm -rf $(VENV) $(CACHE) dist operator/pyroscope_operator/pprof/*.so .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
