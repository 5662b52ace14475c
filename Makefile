# make demo    watch the gate pass a good edit and fail a bad one, on a real model
# make test    run the tests
# make check   lint, types, import contracts
# make lock    pin what is installed into constraints.txt

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
BIN := .venv/bin
WORKERS ?= 2

.PHONY: demo test check lock clean

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo 'Installing into .venv; torch is large, this takes some minutes the first time.'
	$(BIN)/pip install --quiet -c constraints.txt -e '.[hf]'
	touch $@

.venv/dev: .venv/demo
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/demo
	$(BIN)/python example_repo/demo.py

# each worker computes on one thread: workers that share cores starve each other otherwise
test: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: .venv/dev
	( echo '# The versions everything was tested with; `make lock` writes this file anew.'; \
	  $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' ) > constraints.txt

clean:
	rm -rf .venv build dist
