# make run    sets everything up and opens the explorer; PAIR=/srv/mine opens on mine-standard.safetensors and its twin
# make test   sets everything up and runs the checks and the tests; PAIR=/srv/mine does so on that pair
# make bench  measures speed and memory into bench/results.json
# make pictures  makes the README's pictures with an installed Chromium
# make gallery   makes the README's figures, each with the command shown beside it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The JavaScript runs as it is; its types are checked where there is npm.
NPM := $(shell command -v npm)
TYPESCRIPT := typescript@5.9.3
TSC := $(VENV)/$(TYPESCRIPT)/node_modules/.bin/tsc
# What pip does on one core, on all; files that are no code of this Python (templates) are passed over.
COMPILE = $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

.PHONY: run test check bench pictures gallery clean
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp
	$(if $(PAIR),EXPLORER_PAIR='$(PAIR)' )$(BIN)/python -m streamlit run app.py $(ARGS)

test: check
	$(BIN)/python -m pytest $(if $(PAIR),--pair '$(PAIR)' )$(ARGS)

check: $(VENV)/dev.stamp $(if $(NPM),$(TSC))
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(if $(NPM),$(TSC) --project explorer/viewer/js/jsconfig.json,@echo "Skipped: types of the JavaScript, as there is no npm.")

bench: $(VENV)/bench.stamp
	$(BIN)/python -m bench $(ARGS)

pictures: $(VENV)/dev.stamp
	$(BIN)/python docs/make_pictures.py

gallery: $(VENV)/run.stamp
	mkdir -p docs/figures
	$(BIN)/python docs/make_gallery.py

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/run.stamp: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements.txt
	$(COMPILE)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/dev.stamp: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements-dev.txt
	$(COMPILE)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@ $(VENV)/run.stamp

$(TSC): | $(BIN)/python
	npm install --silent --no-save --no-package-lock --prefix $(VENV)/$(TYPESCRIPT) $(TYPESCRIPT)

# Without what they ask for: torch and NumPy are here, and a display is not needed.
$(VENV)/bench.stamp: bench/requirements.txt $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --no-deps --requirement bench/requirements.txt
	touch $@
