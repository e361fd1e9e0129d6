# The commands of this project; `make` alone lists them.
VENV := .venv
BIN := $(VENV)/bin
RUN ?=

.DEFAULT_GOAL := help
.PHONY: help run install install-dev test check doctor bench access translations screenshots clean
.PHONY: cluster cluster-down cluster-test

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

run: install ## install what is needed and start everything; CENTER=slurm: with labs on a Slurm cluster; Ctrl-C stops it
	@$(BIN)/chancai run $(if $(CENTER),--center $(CENTER)) $(RUN)

test: install-dev ## run all tests, those in a real browser and against a real JupyterHub too
	@$(BIN)/python deploy/test_tools.py
	$(BIN)/pytest -n auto

check: install-dev ## what must hold before a change goes in: style, types, imports, tests
	@$(BIN)/python deploy/test_tools.py
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n auto

cluster: install ## build a real Slurm with four nodes on this machine (Debian, root)
	@$(BIN)/python -m deploy.cluster up

cluster-down: install ## take it down; nothing of it stays
	@$(BIN)/python -m deploy.cluster down

cluster-test: install-dev ## run the tests against a real Slurm of their own
	$(BIN)/pytest -n0 tests/cluster -rs

doctor: install ## say what is missing or wrong here, and how to mend it
	@$(BIN)/chancai doctor

bench: install-dev ## measure, and write docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(ONLY)

access: install-dev ## write docs/access.md, who may do what, anew
	@DATABASE_URL=postgresql+psycopg:// SECRET_KEY=unused $(BIN)/chancai access write

translations: install-dev ## collect the texts into the catalogs and say what is to be translated
	$(BIN)/chancai translations update

screenshots: install-dev ## take the pictures in docs/screenshots anew
	@$(BIN)/python deploy/test_tools.py --fonts
	SCREENSHOTS=docs/screenshots $(BIN)/pytest -n0 tests/browser/test_journey.py

install:
	@python=$$(PYTHON="$(PYTHON)" sh deploy/find-python) && "$$python" deploy/bootstrap.py --venv $(VENV)

install-dev:
	@python=$$(PYTHON="$(PYTHON)" sh deploy/find-python) && "$$python" deploy/bootstrap.py --venv $(VENV) --dev

clean: ## remove .venv and caches; what var/ holds stays
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
