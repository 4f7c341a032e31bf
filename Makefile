# The two commands of a newcomer are `make demo` and `make test`; each sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench lock clean
PYTHON := .venv/bin/python

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST)

setup:  ## .venv from the lock, Elasticsearch through Maven; quick when both are there
	@scripts/setup.sh
	@$(PYTHON) -m services.stack.distribution

demo: setup  ## the main job on real text: index, encode, mine, export, evaluate, search
	@$(PYTHON) -m demo

test: setup  ## every test, against a real Elasticsearch, Redis and worker
	@$(PYTHON) -m pytest --numprocesses 2 --dist loadscope

lint:  ## style, types, and no address in the lock
	@scripts/setup.sh
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --quiet --check .
	@$(PYTHON) -m mypy
	@! grep -nE '(https?|file|git)[+:]|^-' requirements.lock docker/requirements.lock tests/integration/gateway/langchain.lock

bench: setup  ## every benchmark, one after the other
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(PYTHON) $$file || exit 1; done

LOCK := pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml

lock:  ## resolve pyproject.toml anew: all of it, the part that the image needs, and the tests' langchain
	@scripts/setup.sh uv $(LOCK) --upgrade --extra dev --extra s3 --extra openvino -o requirements.lock
	@scripts/setup.sh uv $(LOCK) --constraint requirements.lock --extra catalogues --extra demo --extra s3 \
		-o docker/requirements.lock
	@scripts/setup.sh uv $(subst pyproject.toml,tests/integration/gateway/langchain.in,$(LOCK)) --upgrade \
		-o tests/integration/gateway/langchain.lock

clean:  ## stop the stack, remove .venv and what was fetched; .msm (your data) stays
	@[ ! -x .venv/bin/msmctl ] || .venv/bin/msmctl down
	@rm -rf .venv .cache
