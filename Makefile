# A virtual environment of its own, from the lock files; everything else runs in it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo up test test-containers test-faults test-pages site lint types imports unit lock clean

demo: $(VENV)/.installed
	$(BIN)/python -m demo

up: $(VENV)/.installed
	@exec $(BIN)/python -m meshroom_tasks.local_service

test: lint types imports unit

# Minutes of random faults on RabbitMQ, PostgreSQL and SeaweedFS: docs/faults.md. A seed that fails has a second run.
test-faults: $(VENV)/.installed-dev
	$(BIN)/python -m tests.run -m chaos -s tests/faults

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive meshroom_tasks web demo deploy celeryconfig.py

types: $(VENV)/.installed-dev
	$(BIN)/mypy

imports: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# The order of the folders has the long files in its midst; xdist's own would end with them, side by side.
# What fails beside others is run again, alone; "passed only when alone" at the end tells of it.
unit: $(VENV)/.installed-dev
	$(BIN)/python -m tests.run -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# The pages in Chromium, which is installed as root on Debian, else the tests say that they skip.
test-pages: $(VENV)/.installed-dev
	$(BIN)/python -m tests.run -m browser -n 2 --dist loadfile --max-worker-restart 0 tests/pages

# The Markdown pages as a site in build/site. Links that lead nowhere, and pages that ask another server, end it.
site: $(VENV)/.installed-docs
	rm -rf build/site-source build/site
	mkdir -p build/site-source/benchmarks
	ln -s ../../README.md ../../SECURITY.md ../../docs build/site-source
	ln -s ../../../benchmarks/README.md build/site-source/benchmarks
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The compose stack, built and started and killed. Needs a Docker engine with Compose; says so where there is none.
test-containers: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m containers tests/containers

# Without --no-deps pip fails as soon as something newer is out of what one package asks for with an extra.
$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	touch $@

$(VENV)/.installed-docs: requirements-docs.lock $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-docs.lock
	touch $@

# Needs uv. The lock files hold hashes and no addresses.
lock:
	uv pip compile --quiet --universal --generate-hashes -p 3.11 pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes -p 3.11 --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet --universal --generate-hashes -p 3.11 --group docs -c requirements-dev.lock -o requirements-docs.lock

clean:
	rm -rf build $(VENV)
