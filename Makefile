# `make` alone lists the targets: every target that carries a `##` line.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

CASSANDRA := deploy/cassandra/cassandra.sh
NODES ?= 3
ARGS ?=

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: cassandra
cassandra: ## start a local Apache Cassandra on 127.0.0.1-3:9042 (NODES=1..3, default 3)
	@$(CASSANDRA) start --nodes $(NODES)

.PHONY: cassandra-stop
cassandra-stop: ## stop the local Cassandra; its data stays in .tools/cassandra
	@$(CASSANDRA) stop
