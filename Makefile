# The commands of this project. `make run` and `make test` set up what they need and say what they install.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: run test test-unit lint reference bench soak clean

run: $(STAMP)   ## run the proxy in the foreground with three small backends, until Ctrl-C
	@$(PYTHON) -m examples.demo

test: $(STAMP)   ## set up a real engine, images and both versions of HAProxy; run every check and test
	@$(PYTHON) -m tests.real up
	@$(PYTHON) -m tests.real bare
	@$(MAKE) --no-print-directory lint
	@set -a; . .cache/real.env; set +a; \
	  $(PYTHON) -m pytest -q tests/unit --cov && $(PYTHON) -m pytest -q tests/haproxy tests/e2e tests/swarm; code=$$?; \
	  $(PYTHON) -m tests.real down; exit $$code

test-unit: $(STAMP)   ## seconds: needs neither engine nor HAProxy
	@$(PYTHON) -m pytest -q tests/unit

lint: $(STAMP)   ## ruff, mypy --strict, import rules, generated tables
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(PYTHON) -m proxy.commands.reference --check

reference: $(STAMP)   ## write the tables of settings into the READMEs
	@$(PYTHON) -m proxy.commands.reference

bench: $(STAMP)   ## measure against peers; prints Markdown
	@$(PYTHON) -m bench

soak: $(STAMP)   ## long runs that `make test` leaves out: fifty kills, many more random sequences
	@$(PYTHON) -m tests.real up --only haproxy26 --only haproxy34
	@set -a; . .cache/real.env; set +a; $(PYTHON) -m pytest -q -s -m soak tests

$(STAMP): setup.cfg pyproject.toml
	@echo "Python packages: installed into $(VENV)"
	@python3 -m venv $(VENV) >/dev/null 2>&1 || { \
	  echo "python3 has no venv module here: installing Debian's python3-venv"; \
	  { apt-get install -y -qq python3-venv || { apt-get update -qq && apt-get install -y -qq python3-venv; }; } >/dev/null 2>&1; \
	  python3 -m venv $(VENV); }
	@$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

clean:   ## remove what the commands above have made
	rm -rf $(VENV) .cache .coverage
