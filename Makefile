# make run    sets everything up and opens the explorer; PAIR=/srv/mine opens on mine-standard.safetensors and its twin
# make test   sets everything up and runs the checks and the tests; PAIR=/srv/mine does so on that pair
# make bench  measures speed and memory into bench/results.json and makes the tables of it; ARGS="--only speed" a part
# make soak   attacks fresh servers for minutes and writes the README's table; ARGS="--only studio" runs a part
# make card   makes the tables of the pair's card; ARGS="--data ... --photographs ..." measures what is stale
# make pictures  makes the README's pictures with an installed Chromium
# make animation  makes the README's animation, likewise
# make opening   makes what the start page shows before the models are loaded
# make gallery   makes the README's figures, each with the command shown beside it
# make lock      writes the lock files again after a change of requirements; ARGS=--upgrade renews what floats
# make sbom      writes build/sbom.cdx.json (CycloneDX), build/licenses.txt (full texts) and the table docs/licenses.md
# With TORCH=cpu, all of them set up PyTorch's build without CUDA: for machines without a GPU.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The JavaScript runs as it is; its types are checked where there is npm.
NPM := $(shell command -v npm)
TYPESCRIPT := typescript@5.9.3
TSC := $(VENV)/$(TYPESCRIPT)/node_modules/.bin/tsc
# What pip does on one core, on all; files that are no code of this Python (templates) are passed over.
COMPILE = $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

# Tools for lists of what is installed, in an environment of their own so that they are not on the lists.
SBOM := $(VENV)/sbom
LICENSES = $(SBOM)/bin/pip-licenses --python $(BIN)/python --with-system \
	--packages $$(awk -F== '/^[a-z]/ {print $$1}' requirements.lock)

EDITABLE = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
# For every platform and Python from 3.11 on; one version of a package for all of them.
LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-emit-index-url $(ARGS)
lock = $(LOCK) $(2) $(1).txt --output-file $(1).lock

# Everything in a lock, every file checked by its hash. With TORCH=cpu not torch, which comes from PyTorch's own index and
# is no file the lock knows, nor what only a CUDA build asks for.
CUDA = cuda|nvidia|torch|triton
ifeq ($(TORCH),cpu)
define install
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --index-url https://download.pytorch.org/whl/cpu \
		$(shell grep '^torch' requirements.txt)
	awk '/^[a-z]/ {kept = !/^($(CUDA))/} kept' $(1) > $(VENV)/cpu.lock
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --requirement $(VENV)/cpu.lock
	$(COMPILE)
endef
else
define install
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes --requirement $(1)
	$(COMPILE)
endef
endif

.PHONY: run test check bench soak card pictures animation opening gallery sbom lock clean
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

soak: $(VENV)/dev.stamp
	$(BIN)/python -m bench.soak $(ARGS)

card: $(VENV)/run.stamp
	$(BIN)/python docs/make_card.py $(ARGS)

pictures: $(VENV)/dev.stamp
	$(BIN)/python docs/make_pictures.py

animation: $(VENV)/dev.stamp
	$(BIN)/python docs/make_animation.py

opening: $(VENV)/run.stamp
	$(BIN)/python docs/make_opening.py

gallery: $(VENV)/run.stamp
	mkdir -p docs/figures
	$(BIN)/python docs/make_gallery.py

sbom: $(VENV)/run.stamp $(SBOM)/stamp
	mkdir -p build
	$(SBOM)/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file build/sbom.cdx.json
	$(LICENSES) --format=plain-vertical --with-urls --with-license-file --no-license-path --output-file build/licenses.txt
	sed '/^| Name /,$$d' docs/licenses.md > build/licenses.md
	$(LICENSES) --format=markdown >> build/licenses.md
	mv build/licenses.md docs/licenses.md

lock: | $(BIN)/python
	$(BIN)/python -m pip install --quiet uv==0.13.9
	$(call lock,requirements-dev)
	$(call lock,requirements,--constraint requirements-dev.lock)
	$(call lock,bench/requirements,--no-deps)
	$(call lock,docs/sbom/requirements)

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	awk '/^[a-z]/ {kept = /^pip==/} kept' requirements.lock > $(VENV)/pip.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/pip.lock

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	$(EDITABLE)
	touch $@

$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	$(EDITABLE)
	touch $@ $(VENV)/run.stamp

$(TSC): | $(BIN)/python
	npm install --silent --no-save --no-package-lock --prefix $(VENV)/$(TYPESCRIPT) $(TYPESCRIPT)

$(SBOM)/stamp: docs/sbom/requirements.lock | $(BIN)/python
	$(PYTHON) -m venv $(SBOM)
	$(SBOM)/bin/python -m pip install --quiet --require-hashes --requirement docs/sbom/requirements.lock
	touch $@

# Without what they ask for: torch and NumPy are here, and a display is not needed.
$(VENV)/bench.stamp: bench/requirements.lock $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement bench/requirements.lock
	touch $@
