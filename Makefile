# `make figures` computes everything and ends with the table of verdicts; `make test` runs every test.
# Both make the environment .venv first, from requirements.lock, and only if it is not there.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
# Jobs call plain `python`: it must be the environment's.
RUN := PATH="$(BIN):$$PATH"
SNAKEMAKE := $(RUN) $(BIN)/snakemake
CORES = $(shell $(BIN)/python -c "from symbreak.machine import usable_cores; print(usable_cores())")
UV := $(CURDIR)/.venv-uv

MAKEFLAGS += --no-print-directory
.PHONY: figures test lint lock report generate venv bench-env remotes test-servers
.DEFAULT_GOAL := figures

figures: venv
	@$(RUN) $(BIN)/python -m symbreak.progress.watch -- $(BIN)/snakemake --cores $(CORES) figures/all
	@$(BIN)/symbreak status

test: venv
	@$(RUN) $(BIN)/python -m pytest tests

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

report: venv
	@mkdir -p results/desk/report
	@$(SNAKEMAKE) --cores 1 --report results/desk/report/index.html figures/all

# Whatever is generated and in git: schemas, dvc.yaml, code.yaml, the README's table.
generate: venv
	@$(BIN)/python -m symbreak.config.schema
	@$(BIN)/python -m symbreak.provenance.dvcfile
	@$(BIN)/python -m symbreak.readme

# The newest versions that pyproject.toml allows stay as they are unless UPGRADE=--upgrade is given.
lock: venv
	@test -x $(UV)/bin/uv || { $(BIN)/python -m venv $(UV) && $(UV)/bin/pip install --quiet uv; }
	@$(UV)/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --no-header \
		--annotation-style line --quiet $(UPGRADE) --output-file requirements.lock
	@$(UV)/bin/uv pip compile pyproject.toml benchmarks/peers.in --constraint requirements.lock --universal \
		--prerelease if-necessary-or-explicit --python-version 3.11 --no-header --annotation-style line --quiet \
		--output-file benchmarks/requirements.lock
	@{ cat requirements-remotes.in; grep -E '^dvc(-data|-objects)?==' requirements.lock; } | $(UV)/bin/uv pip compile - \
		--universal --python-version 3.11 --no-header --annotation-style line --quiet $(UPGRADE) \
		--output-file requirements-remotes.lock

# Peers of the benchmarks live in an environment of their own: .venv-bench/bin/python -m benchmarks.probes NAME.
bench-env:
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/pip install --quiet --requirement benchmarks/requirements.lock
	@.venv-bench/bin/pip install --quiet --no-deps landscaper==1.3.1 --editable .

# DVC with its clients for SSH and S3: .venv-remotes/bin/dvc push, .venv-remotes/bin/dvc pull.
remotes: venv
	@cmp -s requirements-remotes.lock .venv-remotes/made-from || { $(BIN)/python -m venv --clear .venv-remotes && \
	.venv-remotes/bin/pip install --quiet --requirement requirements-remotes.lock && \
	cp requirements-remotes.lock .venv-remotes/made-from; }

# The S3 server that tests/workflow/test_remotes.py starts.
test-servers: venv
	@cmp -s tests/workflow/servers.lock .venv-servers/made-from || { $(BIN)/python -m venv --clear .venv-servers && \
	.venv-servers/bin/pip install --quiet --no-deps --requirement tests/workflow/servers.lock && \
	cp tests/workflow/servers.lock .venv-servers/made-from; }

venv:
	@command -v $(PYTHON) >/dev/null || { echo "make needs a Python to start with and found no '$(PYTHON)'; \
	install Python 3.11 or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) scripts/setup_venv.py
