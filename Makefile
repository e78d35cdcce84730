# Two commands matter: `make run` and `make test`. Both install what is missing first; a second install does nothing.
SHELL := /bin/bash
export HF_HOME ?= $(CURDIR)/.cache/huggingface
PORT ?= 7860
SPACE ?= deploy/space.yaml

.DEFAULT_GOAL := help
.PHONY: help run test lint audit fast-test install deploy-space

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: install  ## the board and a worker on the embedded store, http://127.0.0.1:7860
	.venv/bin/python app.py --port $(PORT)

install:  ## both environments: the app's and the engine's
	scripts/install.sh app
	scripts/install.sh engine

test: lint  ## everything: lint, types, all tests (real vLLM, real training and a real browser among them)
	scripts/install.sh engine
	scripts/install_browser.sh
	.venv/bin/python -m pytest -n auto --dist loadscope

fast-test: lint  ## lint, types and the tests that start no engine, training or browser
	.venv/bin/python -m pytest -n auto --dist loadscope -m "not engine and not training and not browser"

deploy-space: install  ## the Space, its settings and its dataset, as SPACE=deploy/space.yaml says; DRY_RUN=1 prints the steps
	.venv/bin/python -m backend_jobs deploy-space $(SPACE) $(if $(DRY_RUN),--dry-run)

audit:  ## every locked package against the database of known vulnerabilities; exit status 3 where it cannot be asked
	.venv/bin/python scripts/audit.py

lint:  ## ruff and strict mypy
	scripts/install.sh dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
