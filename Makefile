# make setup | demo | test | bench | clean
#
#   ROS=name       kilted or jazzy: whose wheels (setup; the first time default: kilted)
#   VIDEO=file     input of `make demo` (default: sample/town_drive, town_drive_rear)
#   WEIGHTS=name   a model file of config/models (demo)
#   DEVICE=name    auto, cpu or cuda (demo, bench); `make bench DEVICE=cuda` needs neither ROS nor
#                  a network
#   PYTHON=path    the interpreter to build on (setup; default: python3)

SHELL := /bin/bash
PYTHON ?= python3
RUN := source ./env.sh &&
# Types are checked against Kilted's wheels; another ROS 2 has other ones.
TYPES := && { read -r ros < .venv/.ros; [ "$$ros" != wheels ] || mypy; }
# Three on two cores: many tests wait for nodes while others compute. test/conftest.py has the order.
# After ten failures the rest would only wait longer.
TESTS := --numprocesses 3 --dist loadfile --no-loadscope-reorder --maxfail 10
# Tests start more than a hundred processes, each of which would compile what it loads.
CACHED := env -u PYTHONDONTWRITEBYTECODE
MODEL := $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(DEVICE),--device "$(DEVICE)")

.PHONY: help setup demo test bench clean

help:
	@echo "make setup   everything into ./.venv and ./install; again: nothing to do [ROS=]"
	@echo "make demo    camera, node and viewer as processes; writes demo_out/ [VIDEO= WEIGHTS= DEVICE=]"
	@echo "make test    style checks and the test suite"
	@echo "make bench   speed, as a table and as JSON in bench_out/ [DEVICE=]"
	@echo "make clean   removes what was built and written, but not .venv"

setup:
	@$(PYTHON) -m tools.setup_environment $(ROS)

demo: setup
	@$(RUN) python -m panoptic_ros demo $(if $(VIDEO),--video "$(VIDEO)") $(MODEL)

test: setup
	@$(RUN) ruff check . && ruff format --check . && lint-imports --no-logo $(TYPES) && $(CACHED) python -m pytest $(TESTS)

# A machine with a GPU often has neither ROS nor a network: there nothing is set up.
ON_CUDA := $(filter cuda%,$(DEVICE))
bench: $(if $(ON_CUDA),,setup)
ifeq ($(ON_CUDA),)
	@$(RUN) python benchmarks/run.py $(if $(DEVICE),--device "$(DEVICE)")
else
	@PYTHON="$(or $(wildcard .venv/bin/python),$(PYTHON))" benchmarks/gpu.sh
endif

clean:
	rm -rf build install log demo_out bench_out *.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find benchmarks launch panoptic_ros test tools -name __pycache__ -prune -exec rm -rf {} +
