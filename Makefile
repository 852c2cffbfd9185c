# `make demo` runs the pipeline from photos to a results table. `make test` runs ruff and every test that needs no Slurm.
# `make test-slurm` tests the pipeline on a real Slurm, which it starts on this machine. Each creates the environment first.
VENV ?= .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
# Absolute, for the commands. It is never a target, because make would read a path with a space as two targets.
export VIRTUAL_ENV := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))
export PATH := $(VIRTUAL_ENV)/bin:$(PATH)

.PHONY: env demo test test-slurm lint lock

env: $(VENV)/.complete

# uv installs the whole lock in well under a minute; --compile-bytecode saves seconds in every later process.
$(VENV)/.complete: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip sync --quiet --compile-bytecode requirements.lock
	$(BIN)/uv pip install --quiet --no-deps -e .
	touch $@

# The three trainings are independent: run side by side with one thread each, they take half as long as one after another.
# `dvc repro` then finds everything up to date, and says so.
demo: env
	snakemake --cores all --max-threads 1 all
	dvc repro
	@echo && cat results/tables/README.md
	@echo && echo "The report: $(CURDIR)/results/report.html"

test: env
	ruff check .
	pytest -n 2 --dist worksteal

# Status 77 means that Slurm cannot be installed or started here; the script has already said why.
test-slurm: env
	tests/slurm/cluster.sh run pytest -n 2 --dist loadfile tests/slurm || [ $$? = 77 ]

lint: env
	ruff check .
	ruff format --check .
	snakefmt --check workflow/Snakefile

# The lock holds names and versions only, the same for CPU and CUDA machines.
requirements.lock: ;
lock: env
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --override overrides.in \
	    --no-header --no-annotate --extra cpu --extra dev -o requirements.lock
