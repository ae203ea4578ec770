# CONTRIBUTING.md says what each target is for.
SHELL := /bin/bash
.DEFAULT_GOAL := build
DRILL ?= demo
ROW ?= all

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Generated code, golden bytes and recorded histories. Before the first release they
# may be made anew; the commit says why.
generate:
	sh httpapi/generate.sh
	go test ./codec -run TestBytesOfRowsDoNotChange -update
	go test ./statestore -run TestGolden -update
	ODRADEK_UPDATE=1 go test ./workflows/billing -run TestRecordedHistoryReplays

# Says whether they are current.
verify: generate
	git diff --exit-code -- httpapi/api codec/testdata statestore/testdata workflows/billing/testdata

.PHONY: generate verify test coverage import-report lint tools build demo drill drill-demo drill-kill drill-kcat drill-examples drill-weak-service drill-outages drill-limit controls integration bench cost scaling

build:
	go build -o bin/ ./cmd/... ./workflows/billing/cmd/...

tools:
	@command -v golangci-lint >/dev/null || GOFLAGS= go install $(GOLANGCI_LINT)

# Everything: the tests, those of the builds whose rules can be broken, the race
# detector (without real Kafka, which it slows down), the linter. -p 2: the brokers
# of the tests need room beside the compiler.
test:
	go vet ./... && go vet -tags odradek_test ./...
	go test -p 2 $$(go list ./... | grep -v /test/integration$$)
	$(MAKE) --no-print-directory integration
	go test -p 2 -tags odradek_test ./codec ./engine/... ./internal/fault ./statestore ./worker/...
	ODRADEK_KAFKA=off go test -p 2 -race ./...
	@if command -v golangci-lint >/dev/null; then $(MAKE) --no-print-directory lint; else echo "golangci-lint is not installed: the linter is left out; make tools installs it"; fi
	@command -v java >/dev/null && command -v mvn >/dev/null || echo "Java 17 or Maven is missing: the tests on real Kafka were left out; install both (Debian: apt-get install openjdk-17-jre-headless maven) and run make test again"

# Each line of docs/coverage.yaml and the tests that show it; the last line is one JSON
# object. What needs kcat or real Kafka counts as missing without it.
coverage:
	go run ./test/coverage

# Imports large public OpenAPI documents, which it fetches with npm, and says which share
# of their operations is mapped; the last line is one JSON object.
import-report:
	go run ./test/importreport

lint:
	golangci-lint run --allow-parallel-runners ./...

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

# The last line on standard output is one JSON object; not ok is exit 1. Without ROW all
# rows but the long ones. QUICK=1 is a look that writes no results; PROFILE=DIR takes
# profiles too.
cost:
	$(MAKE) --no-print-directory bench ROW=cost

scaling:
	go build -o bin/ ./bench
	bin/bench scaling

bench:
	go build -o bin/ ./bench ./cmd/svcworker
	bin/bench -row $(ROW) $(if $(QUICK),-quick) $(if $(PROFILE),-profile $(PROFILE)) $(if $(REPS),-reps $(REPS))

# The examples over their HTTP services, with kill -9 of engines and workers; judged by
# the services' books.
drill-examples:
	@go run ./test/integration/drill examples $(if $(SEED),-seed $(SEED))

# billing under load while its payment service is down, slow, answers garbage and resets
# connections.
drill-weak-service:
	@go run ./test/integration/drill weak-service $(if $(SEED),-seed $(SEED))

# 10,000 processes of ten steps over 30 days in virtual time, with ten services that are
# each down 21.6 minutes; no broker.
drill-outages:
	@go run ./test/integration/drill outages $(if $(SEED),-seed $(SEED))

# 100,000 starts as fast as 64 connections send: all are accepted, and no API sees more
# open requests than its limit, over two workers. QUICK=1 is 2,000.
drill-limit:
	@go run ./test/integration/drill limit $(if $(QUICK),-quick)

# docs/protocol.md's examples by kcat alone, against a real Kafka and engine.
drill-kcat:
	@go run ./test/integration/drill kcat

# Five rules off, one at a time: each must be noticed (SEED=n).
controls:
	@go run ./test/integration/drill controls $(if $(SEED),-seed $(SEED))

# What the gate plays on a real Kafka, beside nothing else: sessions of 10 s end in it.
integration:
	go test -count=1 -timeout 10m ./test/integration
