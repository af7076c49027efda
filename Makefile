# The two commands of the README are `make demo` and `make test`. Each sets up what it needs:
# a `.venv` with pinned packages, mmsegmentation and Detectron2. Later calls start at once.

PYTHON ?= python3
READY := .venv/.ready

.PHONY: demo test test-slurm setup lint docs format clean

demo: $(READY)
	@.venv/bin/mmbench demo --out demo

test: $(READY) lint docs
	@echo "==> pytest, one process per core"
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# A real Slurm of two nodes on this machine, as root, with Debian's slurm-wlm and munge.
test-slurm: $(READY)
	@echo "==> pytest on Slurm"
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m slurm tests/slurm

setup: $(READY)

$(READY): constraints.txt pyproject.toml tools/setup_environment.py tools/install_detectron2.py
	@$(PYTHON) tools/setup_environment.py .venv

lint: $(READY)
	@echo "==> ruff and mypy"
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy

# The documentation site, into site/index.html. A broken link or example ends the build.
docs: $(READY)
	@echo "==> documentation"
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet

format: $(READY)
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

clean:
	rm -rf .venv .cache build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache
