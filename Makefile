# Two commands on a fresh Debian or Ubuntu with Python 3.10 to 3.13, without a GPU:
#   make sim     install what a run needs, run the main job, print its report
#   make test    install everything, check the code, run the tests
#   make test-slow  the tests that train again and again: kills, Ray, retraining, the moved camera
# PYTHON selects the interpreter, VENV the folder of the virtual environment.

PYTHON ?= python3
VENV ?= .venv

PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Type checkers cannot see through an editable install; these links are what they see.
TYPES := $(VENV)/types/reflexarc

.PHONY: sim test test-slow clean

sim: $(VENV)/.installed-sim
	$(VENV)/bin/reflexarc sim --episodes 20

test: $(VENV)/.installed-test
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	@# The last numpy for Python 3.10 has coarser types than the code is written to.
	$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 11))' || \
	  MYPYPATH=$(VENV)/types $(VENV)/bin/mypy -p reflexarc.control -p reflexarc.envs
	$(VENV)/bin/python -m pytest -q

test-slow: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -q -m slow

$(VENV)/.installed-sim: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP_INSTALL) --editable ".[ros]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP_INSTALL) --editable ".[ros,train,dev]"
	@mkdir -p $(TYPES) && ln -sfn $(CURDIR)/control $(TYPES)/control && ln -sfn $(CURDIR)/envs $(TYPES)/envs
	@touch $(VENV)/.installed-sim $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "reflexarc needs Python 3.10 to 3.13, and $(PYTHON) is not. Run: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. Run: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

clean:
	rm -rf $(VENV) build reflexarc.egg-info
