# What a day needs; `make help` lists it. The work is done by tools/ and by CMake's presets.
SHELL := /bin/bash
export PATH := $(CURDIR)/.deps/bin:$(PATH)

program := build/release/onnx-local
model := smollm2-135m-instruct
model_file := .deps/models/SmolLM2-135M-Instruct.Q4_1.gguf

.PHONY: help run build test test-long bench fuzz format format-check tidy lint clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: build ## set up, build, import the default model, serve on port 3001
	$(program) serve

build: ## the program at build/release/onnx-local, and the default model imported
	@tools/setup
	@test -f build/release/build.ninja || cmake --preset release
	@cmake --build build/release --target onnx-local
	@$(program) list --json | grep -q '"$(model)"' || \
	  $(program) import $(model_file) --name $(model)

test: ## set up, build, run the tests (under 15 minutes, a budget per stage)
	@tools/setup --test
	@tools/run_tests --build  # ctest, stage by stage

test-long: ## the same with the slow tests
	@tools/setup --test
	@tools/run_tests --build --long

bench: build ## compare with llama.cpp and onnxruntime-genai on the same weights
	@tools/setup --test
	bench/peers
	bench/compare

fuzz: ## each libFuzzer target for FUZZ_SECONDS (600)
	@tools/setup --dev
	@tools/run_fuzz $${FUZZ_SECONDS:-600}

format: ## clang-format over all C++
	@git ls-files -co --exclude-standard '*.h' '*.cpp' | xargs -r clang-format-19 -i

format-check: ## fails where `make format` would change something
	@git ls-files -co --exclude-standard '*.h' '*.cpp' | \
	  xargs -r clang-format-19 --dry-run --Werror

tidy: ## the style test (tools/tidy --list prints its rules)
	@tools/tidy

lint: ## clang's warnings and clang-tidy over src/, tests left out
	@tools/setup --dev
	@cmake --preset clang >/dev/null
	@run-clang-tidy-19 -quiet -p build/clang '^$(CURDIR)/src/(?!.*_(test|fuzz|bench)\.cpp$$)'

clean: ## removes build/ (.deps/ and imported models stay)
	rm -rf build
