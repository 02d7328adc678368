# make demo   score 100 untrained networks, hold the scores against true accuracies, draw a page, search (Python 3.11+, pip)
# make test   the whole test suite
# make lint   ruff, strict mypy, the import contract

PYTHON ?= python3
VENV ?= .venv
TABLE ?= digits201
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint format clean

demo: $(STAMP)
	$(BIN)/zeroscore rank nasbench201 --table $(TABLE) --in-table --sample 100 --images noise --batch 128 --seed 0 --scorers naswot,params,flops --out demo/scores
	$(BIN)/zeroscore evaluate demo/scores --table $(TABLE)
	$(BIN)/zeroscore report demo/scores --table $(TABLE) --out demo/report.html
	$(BIN)/zeroscore search nasbench201 --method regularized_evolution --evaluations 60 --batch 128 --seed 0

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes first and pinned: left to itself, pip may take a build with several GB of CUDA libraries. Compiling all that is
# installed would take longer than installing it; Python compiles what is imported.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[archai,dev,moo,nevergrad,optuna,ray,report,syne-tune,tables,zoo]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
