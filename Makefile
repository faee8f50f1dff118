# Two commands on a fresh machine (Python 3.11+, make): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_OUT ?= demo-out

# `make gpu` runs on machines that have torch and no network: it installs nothing.
GPU_PYTHON = $(if $(filter command% environment%,$(origin PYTHON)),$(PYTHON),$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)))

.PHONY: demo demo-page test check fix schemas gpu clean

$(VENV)/installed: pyproject.toml constraints.txt hatch_build.py $(wildcard kernels/csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/installed  ## both stages on Ray, with the weights in the package, on jobs/demo_clips
	$(BIN)/vfeat run jobs/demo.yaml --set out=$(DEMO_OUT)/features
	$(BIN)/vfeat run jobs/demo-styles.yaml --set features=$(DEMO_OUT)/features --set out=$(DEMO_OUT)/styles
	$(BIN)/vfeat show $(DEMO_OUT)/features
	$(BIN)/vfeat show $(DEMO_OUT)/styles --labels 2
	$(BIN)/vfeat report $(DEMO_OUT)/features --to $(DEMO_OUT)/report.html

demo-page: $(VENV)/installed  ## a page on this machine that shows the demo's output
	test -f $(DEMO_OUT)/report.html || $(MAKE) demo
	$(BIN)/vfeat browse $(DEMO_OUT)/features --labels $(DEMO_OUT)/labels.csv --open

check: $(VENV)/installed  ## formatter, linter, type checker
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## everything that CI runs
	$(BIN)/pytest -q -n 3 --dist loadfile  # many tests wait: three processes for two cores

fix: $(VENV)/installed  ## what the formatter and the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(VENV)/installed  ## write schemas/ anew from the code
	$(BIN)/vfeat schema --write schemas

gpu:  ## what one NVIDIA GPU measures and proves: STEPS=a,c OUT=FOLDER REHEARSE=1, see docs/guide/gpu.md
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 $(GPU_PYTHON) -m benchmarks.gpu \
	  $(if $(STEPS),--steps "$(STEPS)") $(if $(OUT),--out "$(OUT)") \
	  $(if $(MINUTES),--minutes $(MINUTES)) $(if $(REHEARSE),--rehearse)

clean:
	rm -rf $(VENV) $(DEMO_OUT) .pytest_cache .ruff_cache .mypy_cache
