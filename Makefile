# What a developer and CI run. Each target installs what it needs and the machine lacks.

.DEFAULT_GOAL := help
.PHONY: help setup test lint bench demo fuzz

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what test and lint need (apt-get as root or with sudo; the rest below target/tools)
	@scripts/setup test lint

test: ## Run every test
	@scripts/test

lint: ## Check formatting, clippy, the API contract, the alert rules and the image
	@scripts/lint

bench: ## Measure (needs nginx, to be measured beside)
	@scripts/setup bench
	cargo bench --workspace --locked

demo: ## Show the gateway between two simulated vendors
	cargo run --release -- demo

fuzz: ## Feed the adapters for 60 s each with what nobody thought of (needs cargo-fuzz)
	@scripts/fuzz
