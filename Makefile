# What people and CI call. `make` lists it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export RDP_CACHE ?= $(HOME)/.cache/rdp
export CARGO_TARGET_DIR ?= $(RDP_CACHE)/target

# One profile and always the whole workspace: other features or another profile would build every dependency again.
CARGO_FLAGS := --release --workspace --locked
RDP := $(CARGO_TARGET_DIR)/release/rdp

.PHONY: help
help: ## List what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: demo
demo: build ## Show all of it in seconds: embedded broker, a killed loader, audit, SQL
	$(RDP) demo $(DEMO)

.PHONY: build
build: ## Build the rdp binary
	@testing/setup.sh build
	cargo build $(CARGO_FLAGS)

.PHONY: test
test: ## Run every test, those against a real Kafka included (TEST=name runs only such)
	@testing/setup.sh
	cargo test $(CARGO_FLAGS) --lib --bins --tests $(TEST) -- --include-ignored
	cargo test $(CARGO_FLAGS) --doc $(TEST)

.PHONY: check
check: ## Format, clippy, docs, licenses and sources of dependencies, spelling: warnings are errors
	@testing/setup.sh check
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps
# Advisories are left out: their database comes from the network, and a build must not fail for news.
	$(RDP_CACHE)/cargo-deny/bin/cargo-deny --offline check bans licenses sources
	$(RDP_CACHE)/venv/bin/typos

.PHONY: doc
doc: ## Build the API's documentation
	@testing/setup.sh build
	cargo doc $(CARGO_FLAGS) --no-deps
	@echo "$(CARGO_TARGET_DIR)/doc/rdp_elt/index.html"

.PHONY: bench
bench: ## Measure on a real Kafka, beside reading alone and a hand-written loader (BENCH="--records 1000000 --rounds 1")
	@testing/setup.sh
	cargo build $(CARGO_FLAGS) --bins --examples
	$(CARGO_TARGET_DIR)/release/bench $(BENCH)

.PHONY: torture
torture: ## Kill, fail, slow, freeze and rebalance the loader for hours, and compare (REPEATS=200 MINUTES=10 TORTURE="matrix storm zombies")
	@testing/setup.sh
	cargo build $(CARGO_FLAGS) --bins
	$(CARGO_TARGET_DIR)/release/torture $(TORTURE) --repeats $(or $(REPEATS),200) --minutes $(or $(MINUTES),10)

.PHONY: clean
clean: ## Remove what was built, and what killed tests left behind
	cargo clean
	rm -rf $(RDP_CACHE)/run rdp-demo
