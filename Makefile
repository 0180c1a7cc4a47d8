# `make demo` and `make test` do all the set-up on a machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

PAGES = *.md docs/*.md models/checkpoints/*.md examples/calls/*.md

# Python compiles what it imports, once: pip would compile all that it installs, for two minutes
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := demo
.PHONY: demo test quick chaos check docs bench evaluate study lock reference clean

# two processes with a thread each; a group of tests shares one of them
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

# exact versions, with their hashes; TORCH_INDEX=... leaves CUDA out: docs/install.md
.venv/installed: pyproject.toml constraints.txt constraints-dev.txt
	$(PYTHON) -m venv .venv
	TORCH_INDEX='$(TORCH_INDEX)' PIP_OPTIONS=--no-compile \
		deploy/install_locked.sh $(BIN)/python constraints.txt constraints-dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: .venv/installed ## score the example calls and show the table
	$(BIN)/batch-ser run --input examples/calls --out .demo/results.parquet --restart
	@$(BIN)/python examples/show.py .demo/results.parquet

check: .venv/installed ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

quick: check ## lint, types, the tests that are not slow; a minute and a half
	$(PYTEST) -m "not slow and not chaos and not exhaustive"

test: check ## lint, types, all tests but chaos; a quarter of an hour
	$(PYTEST) -m "not chaos and not exhaustive"

chaos: .venv/installed ## killed processes, full disks, hostile files, on disk and Ray, and further cases of the tests; an hour
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "chaos or exhaustive" -s --timeout 3600

docs: .venv/installed ## the documents as a site, in .docs-site, which loads nothing from outside
	rm -rf build/docs .docs-site
	mkdir -p build/docs
	tar cf - LICENSE $(PAGES) | tar xf - -C build/docs
	$(BIN)/zensical build --clean --strict
	! grep -rnoEi '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//[^ >]*' .docs-site --include='*.html'
	! grep -rnoEi '(@import|url\(["'"'"']?(https?:)?//).{40}' .docs-site --include='*.css'

bench: .venv/installed ## the figures of docs/results.md that take long or depend on the machine
	$(BIN)/python benchmarks/measure.py
	$(BIN)/python benchmarks/detection.py
	$(BIN)/python benchmarks/crosstalk.py
	$(BIN)/python benchmarks/archives.py
	$(BIN)/python benchmarks/many_files.py
	$(BIN)/python benchmarks/driver_load.py
	$(BIN)/python benchmarks/manifests.py
	$(BIN)/python benchmarks/many_calls.py
	$(BIN)/python benchmarks/stores.py
	$(BIN)/python benchmarks/plan.py
	$(BIN)/python benchmarks/report.py
	$(BIN)/python benchmarks/judge.py
	$(BIN)/python benchmarks/exports.py
	$(BIN)/python benchmarks/sample_bits.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/serve.py

evaluate: .venv/installed ## how good the shipped checkpoints are on what their heads never met; half an hour
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/recipe.py
	$(BIN)/python benchmarks/fresh_head.py
	$(BIN)/python benchmarks/call_table.py
	$(BIN)/python benchmarks/alarms.py

study: .venv/installed ## every architecture, trained and judged; hours, and goes on where it was stopped
	$(BIN)/python benchmarks/architectures.py

lock: ## constraints.txt and constraints-dev.txt again after a change of pyproject.toml; needs uv
	$(PYTHON) deploy/lock.py

reference: .venv/installed ## docs/reference.md, from the code
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf .venv .demo .study .evaluate .docs-site build/docs
