# The two commands of the README are `make demo` and `make test`; each sets up what it needs.

PYTHON ?= python3
STAGES := pretrain transfer leaderboard tools

.PHONY: demo test setup lint types format clean

types:
	@rm -rf .cache/types && mkdir -p .cache/types/mmbench
	@ln -s $(CURDIR)/mmbench/* $(addprefix $(CURDIR)/,$(STAGES)) .cache/types/mmbench/

lint: types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
