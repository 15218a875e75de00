# Hawser. `make help` lists what can be done.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0
GOLANGCI := bin/tools/golangci-lint
GOLANGCI_VERSION := v2.15.0

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

AGENT_TARGETS := linux/amd64 linux/386 linux/arm64 linux/arm/7 linux/arm/6 linux/arm/5 linux/mips/softfloat linux/mipsle/softfloat linux/mips64le linux/riscv64

.PHONY: agents
agents: ## the agent for every gateway target, in bin/agents
	@mkdir -p bin/agents
	@for t in $(AGENT_TARGETS); do \
		IFS=/ read -r os arch var <<< "$$t"; \
		out=bin/agents/hawser-agent-$$os-$$arch$${var:+-$$var}; \
		GOOS=$$os GOARCH=$$arch GOARM=$$([ $$arch = arm ] && echo $$var) GOMIPS=$$([[ $$arch = mips* ]] && echo $$var) \
			go build -trimpath -ldflags '$(LDFLAGS)' -o $$out ./cmd/agent || exit 1; \
		printf '%9d %s\n' $$(stat -c %s $$out) $$out; \
	done

.PHONY: generate
generate: ## code generated from cloud/api/openapi.yaml
	go generate ./cloud/...

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

.PHONY: test
test: install-test-deps build lint ## everything, with the race detector
	CGO_ENABLED=1 go test -race -timeout 20m ./...

.PHONY: test-long
test-long: install-test-deps build ## long kill runs and large fleets
	CGO_ENABLED=1 HAWSER_TEST_LONG=1 go test -race -timeout 120m ./...

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
