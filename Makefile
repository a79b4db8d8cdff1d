# dcm-receiver. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 5s
# The race detector needs a C compiler.
RACE := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null && echo -race)

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: help run build test check fmt vet staticcheck fuzz fuzz-short

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

run: build ## build and serve on 127.0.0.1:8080 and 127.0.0.1:9090
	@DCM_CUSTOMER_BPNLS="$${DCM_CUSTOMER_BPNLS:-BPNL8888888888XX}" exec bin/dcm-receiver serve

build: ## leave bin/dcm-receiver
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/dcm-receiver ./cmd/dcm-receiver

test: ## pass the tests
	go test $(RACE) -shuffle=on ./...

check: fmt vet staticcheck test fuzz-short ## everything CI runs

fmt:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt these files:"; echo "$$out"; exit 1; }

vet:
	go vet ./...

staticcheck:
	$(STATICCHECK) ./...

fuzz-short: ## each fuzz target for a few seconds
	@$(MAKE) --no-print-directory fuzz FUZZTIME=$(FUZZTIME)

fuzz: ## each fuzz target for FUZZTIME (make fuzz FUZZTIME=10m)
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
		done; \
	done
