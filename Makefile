# make demo: train, score and rank the bundled card payments.   make test: everything that CI runs.
# Both make .venv first, with the versions of constraints.txt, and touch nothing outside this folder.
PYTHON ?= python3
BIN := .venv/bin
export MPLBACKEND := Agg

.PHONY: demo test
.DEFAULT_GOAL := demo

demo: .venv/.installed
	$(BIN)/vae-anomaly demo

test: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --doctest-modules vae_anomaly tests --cov --cov-report=term --cov-fail-under=90

# torch comes first, by its exact pin, so that nothing else chooses a larger build of it.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,benchmark]'
	touch $@
