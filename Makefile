# Hawser. `make help` lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0
GOLANGCI := bin/tools/golangci-lint
GOLANGCI_VERSION := v2.15.0
TESTSUM := bin/tools/gotestsum
TESTSUM_VERSION := v1.13.0

.PHONY: help
help: ## show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## one hub on embedded defaults with a demo fleet; Ctrl-C ends it
	@bin/hawser-sim demo $(RUN_ARGS)

.PHONY: build
build: ## bin/hawser-hub, bin/hawser-agent, bin/hawserctl
	@mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/hawser-hub ./cmd/hub
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/hawser-agent ./cmd/agent
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/hawserctl ./cmd/hawserctl
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/hawser-sim ./testbed/sim

.PHONY: agents
agents: ## the agent for every gateway, core and gateway variant, with SHA256SUMS, in bin/agents
	go run ./testbed/agents/make -version $(VERSION)

.PHONY: agent-sizes
agent-sizes: ## record the sizes of make agents in docs/agent-sizes.txt
	go run ./testbed/agents/make -version $(VERSION) -record

.PHONY: generate
generate: ## code generated from cloud/api/openapi.yaml
	go generate ./cloud/...

CONSOLE := cloud/console/web

$(CONSOLE)/node_modules/.package-lock.json: $(CONSOLE)/package-lock.json
	cd $(CONSOLE) && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: console
console: $(CONSOLE)/node_modules/.package-lock.json ## build the web console's pages into cloud/console/dist
	cd $(CONSOLE) && npm run --silent build

.PHONY: console-check
console-check: $(CONSOLE)/node_modules/.package-lock.json ## its types and unit tests, and that dist is the build of its sources
	cd $(CONSOLE) && npm run --silent verify

.PHONY: install-test-deps
install-test-deps: ## what the tests need beside Go
	@testbed/setup/install.sh

$(GOLANGCI):
	@mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

.PHONY: lint
lint: $(GOLANGCI) ## gofmt, vet, staticcheck and friends
	$(GOLANGCI) run ./...

.PHONY: check
check: lint ## lint, structure tests and unit tests
	go test ./testbed/arch/ ./protocol/... ./device-sdk/... ./edge-agent/... ./cloud/...

# The race detector has nothing to find in SQLite's translated C and in argon2, and costs half of what tests of the store take. Only packages
# that instantiate nothing generic can be left out: the linker might take their sync.Map, which tells the detector nothing, for all.
# Pointer checks, which come with it, find nothing in what is around the translated C.
RACE = -race -gcflags='modernc.org/...=-d=checkptr=0' -gcflags='modernc.org/sqlite/lib=-race=false' \
	-gcflags='golang.org/x/crypto/argon2=-race=false' -gcflags='golang.org/x/crypto/blake2b=-race=false'

# lint has run vet already; and a test's binary without debugging information takes half the time to link.
QUICK = -vet=off -ldflags=-w

$(TESTSUM):
	@mkdir -p bin/tools
	GOBIN=$(CURDIR)/bin/tools go install gotest.tools/gotestsum@$(TESTSUM_VERSION)

# How often a test that failed is run again: see testbed/setup/test.sh.
RERUN ?= 0

.PHONY: test
test: install-test-deps console-check build lint $(TESTSUM) ## everything, with the race detector
	CGO_ENABLED=1 HAWSER_TEST_BIN=$(CURDIR)/bin testbed/setup/test.sh $(RERUN) $(RACE) $(QUICK) -timeout 20m

.PHONY: test-long
test-long: install-test-deps build ## long kill runs and large fleets
	CGO_ENABLED=1 HAWSER_TEST_BIN=$(CURDIR)/bin HAWSER_TEST_LONG=1 go test $(RACE) -timeout 120m ./...

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## every fuzz test for FUZZTIME (30s)
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep ^Fuzz); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

NAME ?= uplink_qos1
.PHONY: bench
bench: build ## measure against the peer: make bench NAME=uplink_qos1
	go run ./testbed/bench $(BENCH_ARGS) $(NAME)

.PHONY: clean
clean: ## remove what make built and the demo's data
	rm -rf bin .hawser
