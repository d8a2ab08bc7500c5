# Two commands on a fresh Debian or Ubuntu with Python 3.10 to 3.13, without a GPU:
#   make sim     install what a run needs, run the main job, print its report
#   make test    install everything, check the code, run the tests
#   make test-slow  the tests that train again and again: kills, Ray, retraining, the moved camera
#   make test-jazzy the tests over ROS 2, on Jazzy's wheels instead of Kilted's
# PYTHON selects the interpreter, VENV the folder of the virtual environment.

PYTHON ?= python3
VENV ?= .venv

PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
PIP_INSTALL := $(PIP) --constraint constraints.txt
# Type checkers cannot see through an editable install; these links are what they see.
TYPES := $(VENV)/types/reflexarc

# An environment of its own: both releases have packages of the same names.
JAZZY := $(VENV)-jazzy
ROS_TESTS := tests/control/nodes tests/control/commands tests/end_to_end tests/examples tests/launch

.PHONY: sim test test-slow test-jazzy clean

sim: $(VENV)/.installed-sim
	$(VENV)/bin/reflexarc sim --episodes 20

test: $(VENV)/.installed-test
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	@# The last numpy for Python 3.10 has coarser types than the code is written to.
	$(VENV)/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 11))' || \
	  MYPYPATH=$(VENV)/types $(VENV)/bin/mypy -p reflexarc.control -p reflexarc.envs
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadgroup -m "not slow and not alone"
	$(VENV)/bin/python -m pytest -q -m "alone and not slow"

test-slow: $(VENV)/.installed-test
	$(VENV)/bin/python -m pytest -q -m slow

test-jazzy:
	@$(MAKE) --no-print-directory VENV=$(JAZZY) $(JAZZY)/.installed-jazzy
	$(JAZZY)/bin/python -m pytest -q -n 2 --dist loadgroup -m "ros and not slow and not alone" $(ROS_TESTS)
	$(JAZZY)/bin/python -m pytest -q -m "ros and alone and not slow" $(ROS_TESTS)

$(VENV)/.installed-sim: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP_INSTALL) --editable ".[ros]"
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/.made
	$(PIP_INSTALL) --editable ".[ros,train,dev]"
	@mkdir -p $(TYPES) && ln -sfn $(CURDIR)/control $(TYPES)/control && ln -sfn $(CURDIR)/envs $(TYPES)/envs
	@touch $(VENV)/.installed-sim $@

# Without torch: what runs does not need it.
$(VENV)/.installed-jazzy: pyproject.toml constraints.txt constraints-jazzy.txt | $(VENV)/.made
	@grep -v '^ros-' constraints.txt | cat - constraints-jazzy.txt >$(VENV)/constraints.txt
	$(PIP) --constraint $(VENV)/constraints.txt --editable ".[jazzy]" pytest pytest-timeout pytest-xdist hypothesis rosbags
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "reflexarc needs Python 3.10 to 3.13, and $(PYTHON) is not. Run: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >/dev/null || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. Run: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

clean:
	rm -rf $(VENV) $(JAZZY) build reflexarc.egg-info
