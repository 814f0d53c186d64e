# The front door. `make demo` and `make test` do all the set-up that a fresh Debian 12 machine needs.
SHELL := /bin/bash
PYTHON := .venv/bin/python
JOBS ?= $(shell n=$$(nproc); [ $$n -gt 8 ] && n=8; echo $$n)
DEMO_ARGS := $(if $(STEPS),--steps $(STEPS)) $(if $(TEXT),--text "$(TEXT)") \
             $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

.PHONY: help setup setup-lint setup-fuzz setup-bench build demo test test-cpp test-python test-san \
        test-slow test-mutants fuzz bench lint format deps test-gpu bench-gpu clean distclean

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## install what is missing: Debian packages, .venv with torch
	@tools/setup.sh

setup-lint:
	@tools/setup.sh lint

setup-fuzz:
	@tools/setup.sh fuzz

build/%/build.ninja: CMakeLists.txt CMakePresets.json | setup
	@mkdir -p build
	@cmake --preset $* > build/$*.configure.log 2>&1 || { cat build/$*.configure.log; exit 1; }

build: setup build/release/build.ninja  ## set up, configure and build the release preset
	@cmake --build --preset release -j$(JOBS) -- --quiet

demo: build  ## train, be killed in mid-save, resume: STEPS=, TEXT=, DEVICE=, ARGS=
	@$(PYTHON) examples/demo.py $(DEMO_ARGS)

test: test-cpp test-python  ## every test, reduced counts

test-cpp: build  ## the C++ tests; after a change to io/ or engine/
	@cd build/release && ctest --output-on-failure -j$(JOBS) $(CTEST_ARGS)

test-python: build  ## the tests with torch
	@$(PYTHON) -m pytest tests/compat tests/command -q -n $(JOBS) --dist loadfile -m "not slow" \
	  $(PYTEST_ARGS)

test-san: setup build/asan/build.ninja build/tsan/build.ninja  ## the C++ tests under ASan+UBSan and TSan
	@for preset in asan tsan; do \
	  cmake --build --preset $$preset -j$(JOBS) -- --quiet && \
	  ctest --preset $$preset -j$(JOBS) || exit 1; done

test-slow: build test-mutants  ## full counts
	@cd build/release && TINTYPE_FULL=1 ctest --output-on-failure -j$(JOBS)
	@TINTYPE_FULL=1 $(PYTHON) -m pytest tests/compat tests/command -q $(PYTEST_ARGS)

test-mutants: setup  ## that the tests notice: broken promises, one by one, in a copy of the source
	@$(PYTHON) tests/mutants/run.py

fuzz: setup-fuzz build/fuzz/build.ninja  ## the readers by libFuzzer, 10 million inputs: FUZZ_RUNS=, ARGS="zip --seconds 60"
	@cmake --build --preset fuzz -j$(JOBS) -- --quiet
	@tests/fuzz/run.py $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS)) $(ARGS)

lint: setup-lint build  ## formatting, clang-tidy, headers, ruff (slow)
	@tools/lint.sh

format: setup-lint  ## format every source
	@tools/format.sh

setup-bench:
	@tools/setup.sh bench

bench: setup-bench build  ## the promises as ratios in one run: ARGS="--quick --rows save,dcp --dir DIR"
	@$(PYTHON) bench/table.py $(ARGS)

deps:  ## for machines without package access: what building needs, unpacked into DIR=
	@tools/deps.sh "$(DIR)"

test-gpu: build  ## what needs a GPU; build/gpu.json and gpu.md say what ran where
	@$(PYTHON) tests/gpu/run.py

bench-gpu: build  ## saving from a GPU beside plain copies, DCP and torch.save: ARGS="--gib 8"
	@$(PYTHON) bench/gpu.py $(ARGS)

clean:  ## remove what was built, keep .venv
	rm -rf build

distclean: clean  ## remove .venv too
	rm -rf .venv
