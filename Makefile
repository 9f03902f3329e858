# `make` alone lists the targets: every target that carries a `##` line.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

CASSANDRA := deploy/cassandra/cassandra.sh
WITH_CASSANDRA := deploy/cassandra/with-cassandra.sh
NODES ?= 3

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## build and start everything in one process, with a demo (ARGS='--gateways 2')
	@exec cargo run --profile local --package tollgate -- standalone $(ARGS)

.PHONY: demo
demo: ## spend a wallet through four gateways while parts are killed, and show what became of the money
	@cargo build --profile local --package tollgate --package tollgate-loadtest
	@exec target/local/loadtest overspend deploy/scenarios/demo.toml --report target/demo

.PHONY: test
test: ## run every test; sets up curl, Chromium, Go, Python, Node, a JDK, Maven and Cassandra by itself (ARGS='-p tollgate-metering')
	@deploy/install.sh curl chromium
	@deploy/h2spec/run.sh fetch
	@deploy/google-client/install.sh
	@deploy/stripe-clients/install.sh
	@cargo test $(or $(ARGS),--workspace) --no-run
	@exec $(WITH_CASSANDRA) cargo test $(or $(ARGS),--workspace) --no-fail-fast

.PHONY: h2spec
h2spec: ## run the HTTP/2 conformance suite against the gateway (installs Go if missing)
	@deploy/h2spec/run.sh fetch
	@exec cargo test --package tollgate-gateway --test it h2spec -- --nocapture

.PHONY: schemathesis
schemathesis: ## check the management API against its own description (installs schemathesis; MAX_EXAMPLES=40 SEED=1)
	@deploy/schemathesis/run.sh fetch
	@cargo build --package tollgate
	@exec deploy/schemathesis/run.sh target/debug/tollgate

.PHONY: turmoil
turmoil: ## run the real code over a simulated network, one process a seed (SEEDS=16 FIRST_SEED=1)
	@SEEDS=$(or $(SEEDS),16) FIRST_SEED=$(or $(FIRST_SEED),1) cargo test --package tollgate --test turmoil the_money -- --nocapture

.PHONY: bench
bench: ## measure against nginx and nginx + Lua + Redis (installs them from Debian; ROUNDS=7 SPAN_S=3)
	@deploy/install.sh nginx=nginx redis-server=redis-server wrk=wrk valgrind=valgrind taskset=util-linux \
	    /usr/lib/nginx/modules/ngx_http_lua_module.so=libnginx-mod-http-lua \
	    /usr/share/lua/5.1/nginx/redis.lua=lua-nginx-redis
	@cargo bench --package tollgate-gateway --bench decision
	@exec cargo bench --package tollgate --bench peers

.PHONY: bench-sync
bench-sync: ## count ledger rows, messages and overspend, fixed intervals against adaptive (WALLETS=10000 GATEWAYS=16 ROUNDS=3 SPAN_S=8 HOT=100)
	@exec cargo bench --profile local --package tollgate --bench sync

.PHONY: bench-catalogue
bench-catalogue: ## load 100,000 developers over the API, list them, restart, call with cold keys (DEVELOPERS=100000 WORKERS=32 COLD=500)
	@exec cargo bench --profile local --package tollgate --bench catalogue

.PHONY: simulate
simulate: ## drive the metering protocol under seeded faults (SEEDS=1000 FIRST_SEED=1, ARGS='--list')
	@cargo build --quiet --package tollgate-simulation
	@exec cargo run --quiet --package tollgate-simulation -- \
	    $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST_SEED),--first-seed $(FIRST_SEED)) $(ARGS)

.PHONY: fmt
fmt: ## format the code
	@cargo fmt --all

.PHONY: lint
lint: ## check format and lints; warnings are errors
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings

.PHONY: doc
doc: ## build the documentation, private items included; warnings are errors
	@RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace --document-private-items

.PHONY: cassandra
cassandra: ## start a local Apache Cassandra on 127.0.0.1-3:9042 (NODES=1..3, default 3)
	@$(CASSANDRA) start --nodes $(NODES)

.PHONY: cassandra-stop
cassandra-stop: ## stop the local Cassandra; its data stays in .tools/cassandra
	@$(CASSANDRA) stop

.PHONY: ci
ci: ## run what CI runs: format, lints, documentation, dependencies, tests
	@exec .ci/run
