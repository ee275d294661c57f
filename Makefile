# The only interface: one verb a need. Pipelines call the same verbs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
SUITES ?= ../shared/suites
CARGO ?= cargo

.PHONY: help demo build test check storm storm-cluster suites cluster-programs cluster e2e-cluster cluster-down images push charts bench fuzz generate layers size fmt clippy docs tools

help: ## list the verbs
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a whole mesh on this machine: two versions, mutual TLS, a canary, a denied call (CI=true: end after the tour)
	@.ci/tools build
	@.ci/demo

build: ## release binaries: pilot, proxy, ca, meshctl
	@.ci/tools build
	.ci/build -p mesh-pilot -p mesh-proxy -p mesh-ca -p meshctl

test: ## every test that this machine can run; the last line counts what did not run
	@.ci/tools test
	@.ci/test

check: ## formatting, lints, edges between crates, generated code, documentation's links
	@.ci/tools check
	@.ci/check

storm: ## timed drills under load: changes, endpoints, restarts, rotation, stale connections, policies, starts, a hostile client of pilot; nothing may fail
	@.ci/tools build
	@.ci/tools storm
	.ci/build -p mesh-e2e -p mesh-pilot -p mesh-proxy --bin storm --bin pilot --bin proxy && target/release/storm $(STORM)
	HONEST_WITHIN=1 $(CARGO) test --locked -p mesh-pilot --test hostile

storm-cluster: ## drills in a cluster under load: rollouts, pilots killed, API server and kubelet away, changes, upgrades; no call may be lost (STORM)
	@.ci/tools cluster
	@.ci/cluster nodes
	@$(CARGO) build --locked --quiet --workspace --bin cluster --bin meshctl --bin storm-cluster
	@[ -n "$${E2E_IMAGES:-}" ] || { $(MAKE) --no-print-directory images PROFILE=light && .ci/images-tests; }
	@.ci/with-cluster $${CARGO_TARGET_DIR:-target}/debug/storm-cluster $(STORM)

suites: ## judges from outside, read from SUITES=DIR, and a real API server (built from source the first time)
	@.ci/tools suites
	$(CARGO) build --locked --workspace --bin meshctl --bin suites
	@.ci/suites $(SUITES)

cluster-programs: ## Kubernetes and etcd for tests, from source, in target/cluster/bin (KUBERNETES=1.34: another version)
	@.ci/tools suites
	@.ci/cluster

cluster: ## a Kubernetes with two nodes on this machine (root); prints what to export (KUBERNETES)
	@.ci/tools cluster
	@.ci/cluster nodes
	@$(CARGO) build --locked --quiet --workspace --bin cluster
	@$${CARGO_TARGET_DIR:-target}/debug/cluster up

cluster-down: ## remove it, with all that it has of the machine
	@$(CARGO) build --locked --quiet --workspace --bin cluster
	@$${CARGO_TARGET_DIR:-target}/debug/cluster down

images: ## container images in target/images (PROFILE=light: for tests, quick; ARCH="amd64 arm64"; HUB, TAG)
	@.ci/tools images
	@.ci/images

e2e-cluster: ## tests in a cluster: the one that is up, else one that goes with them (KEEP=1: stays; DRILLS=1: drills too; KUBERNETES)
	@.ci/tools cluster
	@.ci/cluster nodes
	@$(CARGO) build --locked --quiet --workspace --bin cluster --bin meshctl
	@[ -n "$${E2E_IMAGES:-}" ] || { $(MAKE) --no-print-directory images PROFILE=light && .ci/images-tests; }
	@.ci/with-cluster .ci/e2e-cluster

push: ## the images, of both platforms unless ARCH says otherwise, to REGISTRY=host/path (REGISTRY_USER, REGISTRY_PASSWORD, REGISTRY_PLAIN_HTTP, TAG)
	@test -n "$(REGISTRY)" || { echo "usage: make push REGISTRY=host/path" >&2; exit 64; }
	@export ARCH="$${ARCH:-amd64 arm64}" HUB="$(REGISTRY)"; .ci/tools images && .ci/images --push pilot proxy proxy-init ca

charts: ## helm lints the charts, and what helm and meshctl render is equal for every values file
	@.ci/tools cluster
	@.ci/cluster nodes
	@$(CARGO) build --locked --quiet --workspace --bin meshctl
	@.ci/charts target/cluster/bin/helm $${CARGO_TARGET_DIR:-target}/debug/meshctl

bench: ## CPU, latency and memory beside Envoy, nginx, haproxy and a bare proxy (root; several minutes)
	@bench/setup
	@bench/run

fuzz: ## fuzz what peers send, FUZZ_SECONDS each (needs a nightly toolchain and cargo-fuzz)
	@.ci/fuzz

generate: ## regenerate the protobuf code, the definitions for API servers and the pages of the reference
	$(CARGO) run --locked --manifest-path config/generate/Cargo.toml --target-dir target/generate
	GENERATE=1 $(CARGO) test --locked -p mesh-config --features crd --test reference what_is_generated

layers: ## which crate and which module may use which
	@.ci/layers

size: ## sizes of the release binaries against their budget
	@.ci/size
