# make setup | demo | test | lint: each makes .venv and installs only what it needs, once.
PYTHON ?= python3
# Where pip takes torch from; empty: pip's own configuration. The addresses of CPU and CUDA
# builds stand on https://pytorch.org/get-started/locally/: make setup TORCH_INDEX=ADDRESS
TORCH_INDEX ?=
# One process for each core; a file's tests stay together, since they share what is slow to make.
PYTEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Versions that were tried together; what pyproject.toml asks for is newer or the same.
INSTALL = $(PIP) install -qq $(addprefix --constraint ,$(wildcard constraints.txt))
# What the demo and the tests need of the extras.
EXTRAS := train,eval,vespa
# The requirements stand in pyproject.toml alone, tried versions in constraints.txt.
TORCH = $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
STEMMER = $(shell sed -n 's/.*"\(krovetzstemmer==[^"]*\)".*/\1/p' pyproject.toml)

# Said on Linux where no NVIDIA driver is, before anything large is downloaded.
NVIDIA_DRIVER ?= /proc/driver/nvidia
CUDA_UNUSED = if [ -d /proc/self ] && [ ! -e '$(NVIDIA_DRIVER)' ]; then \
  echo "There is no NVIDIA driver here. Unless pip is configured otherwise, its torch for Linux brings"; \
  echo "CUDA libraries that this machine cannot use: about 6 GB in $(VENV), 3 GB of them NVIDIA's."; \
  echo "The CPU build takes less than 1 GB: stop this, find its address (.../whl/cpu) on"; \
  echo "https://pytorch.org/get-started/locally/ and run: make TORCH_INDEX=ADDRESS"; fi

.PHONY: setup demo test test-native addresses test-live lint constraints clean
.DELETE_ON_ERROR:

setup: $(VENV)/.runtime

demo: $(VENV)/.runtime
	@$(BIN)/rocosearch demo

test: $(VENV)/.test
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# The native core under AddressSanitizer and UBSan, and without intrinsics. Python itself is not
# checked, so leaks are not looked for.
CMAKE := $(or $(shell command -v cmake),$(BIN)/cmake)
CORE_TESTS := tests/ranking/test_native_core.py tests/ranking/test_routes.py
test-native: $(VENV)/.test
	@for kind in SANITIZE PLAIN; do \
	  $(CMAKE) -S . -B build/$$kind -DKERNELS_$$kind=ON \
	    -DPython_EXECUTABLE=$(abspath $(BIN))/python > /dev/null && \
	  $(CMAKE) --build build/$$kind --parallel > /dev/null || exit 1; \
	done
	@$(BIN)/python tests/ranking/with_core.py build/PLAIN -q $(CORE_TESTS)
	@LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	  ASAN_OPTIONS=detect_leaks=0 $(BIN)/python tests/ranking/with_core.py build/SANITIZE -q $(CORE_TESTS)

# The tests of a real Vespa server: its query container and its config server are all they need.
# They replace whatever is deployed there, and take about ten minutes:
#   make test-live VESPA_URL=http://localhost:8080 VESPA_CONFIG_URL=http://localhost:19071
addresses:
	@[ -n '$(VESPA_URL)' ] && [ -n '$(VESPA_CONFIG_URL)' ] || { \
	  echo "Name a Vespa server for tests. Everything that is deployed there is replaced:"; \
	  echo "make test-live VESPA_URL=http://localhost:8080 VESPA_CONFIG_URL=http://localhost:19071"; \
	  exit 1; }

test-live: addresses $(VENV)/.test
	@VESPA_URL=$(VESPA_URL) VESPA_CONFIG_URL=$(VESPA_CONFIG_URL) \
	  $(BIN)/python -m pytest tests/live tests/engine_contract -k live

lint: $(VENV)/.lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# Writes constraints.txt anew, of what is installed: after pyproject.toml has changed, once tests pass.
constraints: $(VENV)/.test $(VENV)/.lint
	@$(BIN)/python .ci/constraints.py

clean:
	rm -rf $(VENV) build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "No virtual environment could be made: install venv (Debian, Ubuntu: python3-venv)."; \
	  rm -rf $(VENV); exit 1; }

# torch comes first and alone, so that nothing else chooses its build. The stemmer is compiled
# here, before the long downloads, so that a missing compiler is told at once.
$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@$(INSTALL) '$(STEMMER)' || { command -v c++ > /dev/null || \
	  echo "krovetzstemmer is compiled here: install a C++ compiler (Debian, Ubuntu: g++)."; exit 1; }
	@$(if $(TORCH_INDEX),,$(CUDA_UNUSED))
	@echo "Installing torch and what rocosearch needs into $(VENV); the first time takes minutes."
	@$(INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@$(INSTALL) --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	@$(INSTALL) --editable '.[$(EXTRAS),test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.runtime
	@$(INSTALL) --editable '.[$(EXTRAS),lint]'
	@touch $@
