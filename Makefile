# CONTRIBUTING.md says what each target is for.
SHELL := /bin/bash
.DEFAULT_GOAL := build
DRILL ?= demo

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: test lint tools build demo drill drill-demo drill-kill

build:
	go build -o bin/ ./cmd/... ./workflows/billing/cmd/...

tools:
	@command -v golangci-lint >/dev/null || GOFLAGS= go install $(GOLANGCI_LINT)

test:
	go vet ./... && go vet -tags odradek_test ./...
	go test ./...
	go test -tags odradek_test ./...
	go test -race -short ./...
	@if command -v golangci-lint >/dev/null; then $(MAKE) --no-print-directory lint; else echo "golangci-lint is not installed: lint left out; make tools installs it"; fi

lint:
	golangci-lint run ./...

demo: build
	bin/demo

# The last line on standard output is one JSON object; not ok is exit 1.
drill: drill-$(DRILL)

drill-demo: build
	bin/demo --drill

# Real Kafka, 2 engines, 2 service workers, kill -9 and SIGSTOP; SEED=n plays the
# same blows again, QUICK=1 is a smoke version. A seed chooses the blows, not the rest.
drill-kill:
	@go run ./test/integration/drill kill $(if $(SEED),-seed $(SEED)) $(if $(QUICK),-quick)
