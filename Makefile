# Two commands do everything on a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.installed-demo
STAMP := $(VENV)/.installed

# What an extra of pyproject.toml brings, in the versions of constraints.txt.
define install
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(1)]' || { \
		echo "Not installed. If it was hnswlib that could not be built, it needs a C++ compiler and Python's headers:"; \
		echo "  Debian, Ubuntu: sudo apt install g++ python3-dev"; \
		echo "  Fedora:         sudo dnf install gcc-c++ python3-devel"; \
		echo "  macOS:          xcode-select --install"; \
		echo "  Windows:        winget install Microsoft.VisualStudio.2022.BuildTools, with its C++ workload"; \
		echo "Then run make again."; exit 1; }
endef

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(call install,dev)
	touch $(DEMO_STAMP) $@

# The demo does not wait for what only tests and developers need.
$(DEMO_STAMP): pyproject.toml constraints.txt
	$(call install,all)
	touch $@

# make demo                                        the clips in examples/clips, offline
# make demo VIDEOS=~/Videos QUERY="a dog running"  a folder of your own, with conse-lite2
export VIDEOS QUERY
demo: $(DEMO_STAMP)
	@if [ -n "$$VIDEOS" ]; then $(BIN)/python examples/demo_own_videos.py "$$VIDEOS" "$$QUERY"; \
	else $(BIN)/python examples/demo.py; fi

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# axe-core judges in a real browser whether everybody can use the page; without npm these tests are skipped.
AXE := tests/browser/node_modules/axe-core/axe.min.js
$(AXE): tests/browser/package.json
	@if command -v npm >/dev/null; then npm install --silent --no-audit --no-fund --prefix tests/browser || true; fi

test: lint $(AXE)
	$(BIN)/pytest -n 2 --dist worksteal
	$(WITHOUT) -n 2 tests/unit/video/test_readers.py tests/unit/store tests/cli/test_index_command.py

# What is slow and rarely breaks: the bundled models' figures, an installation that is killed many times.
test-slow: setup
	$(BIN)/pytest -m slow -n 2 --dist worksteal

# Where decord and hnswlib are not installed, as on ARM and without a compiler: all tests. `make test` runs the few that
# read and keep videos.
WITHOUT := $(BIN)/python tests/install/run_without.py decord hnswlib -- -q -p no:cacheprovider
test-without: setup
	$(WITHOUT) -n 2 --dist worksteal

# LiteRT's converter wants versions that do not fit beside our others: an environment of its own.
LITERT := .venv-litert
LITERT_STAMP := $(LITERT)/.installed
LITERT_VERSIONS := tests/install/litert-constraints.txt

$(LITERT_STAMP): pyproject.toml $(LITERT_VERSIONS)
	$(PYTHON) -m venv $(LITERT)
	$(LITERT)/bin/pip install --quiet --disable-pip-version-check -c $(LITERT_VERSIONS) -e '.[litert]' pytest pytest-timeout
	touch $@

test-litert: $(LITERT_STAMP)
	$(LITERT)/bin/pytest -p no:anyio tests/unit/models/conversion/test_export_to_litert.py tests/e2e/test_mobile_examples.py

# Fresh installations by pip, with what each takes; the installation that searches on the other Pythons that are here; and
# whether the packages can be had for other systems (needs uv: pip install uv).
LOGGED := -m install -o log_cli=true -o log_cli_level=INFO
test-install: setup
	$(BIN)/pytest $(LOGGED) tests/install/test_fresh_install.py
test-pythons: setup
	$(BIN)/pytest $(LOGGED) tests/install/test_other_pythons.py
test-platforms: setup
	$(BIN)/pytest -m install tests/install/test_other_platforms.py

# The long forms of tests that have a quick one, as docs/reliability.md tells them: damaged videos, libraries, hosts.
soak: setup
	$(BIN)/pytest -m soak -n 2 --dist worksteal

clean:
	rm -rf $(VENV) $(LITERT) .pytest_cache .mypy_cache .ruff_cache
