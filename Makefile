# dcm-receiver. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME ?= 5s
# A CPU profile with which the compiler optimises the program. The tests build without it, which is faster.
PROFILE := cmd/dcm-receiver/cpu.pgo
# The race detector needs a C compiler.
RACE := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null && echo -race)
# Packages whose goroutines share state.
CONCURRENT := ./cmd/... ./internal/edc ./internal/fair ./internal/outbox ./internal/planner ./internal/receiver ./internal/store ./internal/torture

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
REVIVE := go run github.com/mgechev/revive@v1.15.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
LICENSES := go run github.com/google/go-licenses@v1.6.0
LICENSES_IGNORE := --ignore dcm-receiver
HELM_MODULE := helm.sh/helm/v3/cmd/helm@v3.22.0
CHART := deploy/helm/dcm-receiver

.PHONY: help postgres run demo build profile test test-race fairness fairness-short test-pages check bench lint fmt vet staticcheck fuzz fuzz-short alerts chart licences vulnerabilities sbom torture torture-short torture-proof conformance-check dataspace test-edc

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

run: build ## build and serve on 127.0.0.1:8080 and 127.0.0.1:9090
	@[ -n "$$DATABASE_URL$$PGHOST$$PGSERVICE" ] || deploy/postgres/install.sh
	@DCM_CUSTOMER_BPNLS="$${DCM_CUSTOMER_BPNLS:-BPNL8888888888XX}" exec bin/dcm-receiver serve

demo: build postgres ## serve a small world: pages with bottlenecks, comments, refused messages and three months of history (PICTURE=api/group.png makes the picture of README instead)
	@go build -o bin/demo ./internal/example/demo && exec bin/demo bin/dcm-receiver $(PICTURE)

postgres: # a server of Postgres where there is none
	@deploy/postgres/install.sh

build: ## leave bin/dcm-receiver
	@CGO_ENABLED=0 go build -trimpath -pgo=$(PROFILE) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/dcm-receiver ./cmd/dcm-receiver

profile: postgres ## record the CPU profile that build uses (some minutes; worth it after larger changes to receiving)
	go test -trimpath -run '^$$' -bench Receive -benchtime 20s -cpuprofile $(abspath $(PROFILE)) -o /dev/null ./internal/receiver

# Many tests wait for a second to pass, so more of them run at once than there are processors.
test: postgres ## run the tests
	go test -shuffle=on -p 4 -parallel 4 ./...

test-race: postgres ## run the tests of packages with concurrency under the race detector
	@if [ -z "$(RACE)" ]; then echo "test-race: skipped, the race detector needs a C compiler"; else set -x; \
	go test $(RACE) -shuffle=on -parallel 4 $(CONCURRENT); fi

check: lint vet staticcheck test test-race fairness-short fuzz-short alerts chart licences vulnerabilities ## everything CI runs but for the torture and dataspace tests

fairness: build postgres ## send the messages of one partner beside a hostile one; fails where the first one's answers are slow
	go run ./internal/bench -only fairness -attack-time 3s -check

fairness-short: build postgres ## the same with a third of the largest messages
	go run ./internal/bench -only fairness -attack-time 3s -check -short

AXE := axe-core@4.14.1

test-pages: build postgres ## the demo, whose every link leads somewhere, and the planners' pages in a real browser, checked by axe-core (Chromium and npm; skipped without)
	DCM_TEST_DEMO=$(CURDIR)/bin/dcm-receiver go test -count=1 ./internal/example/demo
	@if ! command -v npm >/dev/null; then echo "test-pages: axe-core is not asked, npm is not installed"; \
	else dir=$$(mktemp -d); trap 'rm -rf '$$dir EXIT; (cd $$dir && npm pack --silent $(AXE) >/dev/null && tar xzf axe-core-*.tgz); \
	DCM_TEST_AXE=$$dir/package/axe.min.js go test -count=1 -run "TestInABrowser|TestManyGroups" ./internal/planner; fi

bench: build postgres ## measure beside the floor; takes some minutes (make bench BENCH="-repeat 2 -only new")
	go test -run '^$$' -bench . -benchmem ./internal/payload
	go run ./internal/bench $(BENCH)

lint: ## form of the Go code: gofmt -s, lines of at most 120 columns, functions of at most 60 lines
	@out=$$(gofmt -s -l .); [ -z "$$out" ] || { echo "lint: 'make fmt' changes these files:"; echo "$$out"; exit 1; }
	$(REVIVE) -config .revive.toml ./...

fmt: ## format the Go code
	gofmt -s -w .

vet:
	go vet -tags torture ./...

staticcheck:
	$(STATICCHECK) -tags torture ./...

fuzz-short: ## each fuzz target for a few seconds
	@$(MAKE) --no-print-directory fuzz FUZZTIME=$(FUZZTIME)

# Go 1.26 sometimes reports the end of the fuzzing time as a failure (go.dev/issue/75804). A real
# failure writes its input to a file.
TIME_IS_UP := ! grep -q 'Failing input written' $$log && grep -A1 '^--- FAIL: ' $$log | grep -qx '    context deadline exceeded'

fuzz: postgres ## each fuzz target for FUZZTIME (make fuzz FUZZTIME=10m)
	@set -eo pipefail; log=$$(mktemp); trap 'rm -f '$$log EXIT; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep ^Fuzz || true); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package 2>&1 | tee $$log || \
				{ $(TIME_IS_UP); } || exit 1; \
		done; \
	done

alerts: ## alert rules, their unit test and the scrape configuration, by promtool
	@if ! command -v promtool >/dev/null; then echo "alerts: skipped, promtool is not installed (Debian: apt-get install prometheus)"; exit 0; fi; set -e; \
	promtool check rules deploy/prometheus/alerts.yaml; \
	promtool check config deploy/prometheus/prometheus.yml; \
	promtool test rules deploy/prometheus/alerts_test.yaml

# Values that the chart must refuse, added to those of ci/minimal-values.yaml.
CHART_REFUSED := customerBpnls=null planning.enabled=true planning.enabled=true,planning.proxy.userHeader=X-User,planning.oidc.issuer=https://x \
	planning.enabled=true,planning.proxy.userHeader=X-User planning.enabled=true,planning.oidc.issuer=https://x send=true edc.register=true \
	networkPolicy.planning[0].podSelector.x=y,networkPolicy.oidc[0].podSelector.x=y,planning.enabled=true,planning.url=https://x,planning.oidc.issuer=https://x,planning.oidc.clientId=x \
	config.DCM_PLANNING_LISTEN=:8088 config.DCM_STANDARD=cx-0128 config.DCM_JOURNAL_RETENTION=5d standard=cx-0129 \
	goMemLimit=512MiB goMemLimit=much extraEnv[0].name=DCM_SEND,extraEnv[0].value=true \
	config.DCM_LOG_LEVEL=debug,extraEnv[0].name=DCM_LOG_LEVEL,extraEnv[0].value=info historyRetention=never

chart: ## lint and render the chart, and check that it refuses wrong values
	@set -e; dir=$$(mktemp -d); trap 'rm -rf '$$dir EXIT; GOBIN=$$dir go install $(HELM_MODULE); \
	for values in minimal full proxy; do \
		$$dir/helm lint --strict --quiet $(CHART) -f $(CHART)/ci/$$values-values.yaml; \
		$$dir/helm template dcm $(CHART) --kube-version 1.31.0 -f $(CHART)/ci/$$values-values.yaml >/dev/null; \
	done; \
	for set in $(CHART_REFUSED); do \
		if $$dir/helm template dcm $(CHART) --kube-version 1.31.0 -f $(CHART)/ci/minimal-values.yaml --set "$$set" >/dev/null 2>&1; then echo "chart: it takes $$set"; exit 1; fi; \
	done; echo "chart: linted and rendered"

licences: ## the licence of every module in the program; fails on one that is not permissive
	@$(LICENSES) check ./cmd/dcm-receiver $(LICENSES_IGNORE) --allowed_licenses=Apache-2.0,MIT,BSD-2-Clause,BSD-3-Clause,ISC 2>/dev/null || \
		{ echo "licences: a module has none of the allowed licences"; exit 1; }
	@$(LICENSES) report ./cmd/dcm-receiver $(LICENSES_IGNORE) 2>/dev/null | cut -d, -f1,3 | sort

vulnerabilities: ## known vulnerabilities in what the program calls
	@out=$$($(GOVULNCHECK) ./... 2>&1); status=$$?; echo "$$out" | tail -n 20; \
	case $$status in 0) ;; *) if echo "$$out" | grep -qE 'fetching vulnerabilities|no such host|dial tcp|Forbidden|connection refused'; \
		then echo "vulnerabilities: skipped, the database cannot be reached from here"; else exit $$status; fi;; esac

CYCLONEDX := go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0

sbom: build ## bin/dcm-receiver.cdx.json: what the program consists of (CycloneDX)
	@$(CYCLONEDX) bin -json -version $(VERSION) -output bin/dcm-receiver.cdx.json bin/dcm-receiver 2>/dev/null && echo bin/dcm-receiver.cdx.json

TORTURE := go test -tags torture ./internal/torture -count=1 -v -timeout 60m

torture: postgres ## ten minutes of faults under load, then an oracle (make torture SEED=42)
	$(TORTURE) -run 'TestTorture|TestTakeOver' -torture.duration=10m $(if $(SEED),-torture.seed=$(SEED))

torture-short: postgres ## the same in one minute
	$(TORTURE) -run 'TestTorture|TestTakeOver' -torture.duration=1m $(if $(SEED),-torture.seed=$(SEED))

torture-proof: postgres ## the suite finds each fault that it is there for
	$(TORTURE) -run TestProof

conformance-check: postgres ## break what rows of api/conformance*.md name; a test named there must fail (half an hour; goes on where it stopped; MOST=20 for a part, ROW=text for some)
	go test ./api -count=1 -v -timeout 3h -run TestMutations -args -mutate$(if $(MOST), -most $(MOST))$(if $(ROW), -row '$(ROW)')

dataspace: build postgres ## a customer and a supplier, two real connectors, demands and capacities between them; until Ctrl-C (ONCE=1: ends after the last step)
	@deploy/edc/lab/dataspace.sh bin/dcm-receiver $(if $(ONCE),--once)

test-edc: postgres ## the tests with two real connectors (JDK 17 and Maven; skipped without)
	@. deploy/edc/lab/lab.sh; if lab_needs "make test-edc"; then DCM_TEST_EDC=1 go test -count=1 -timeout 20m -run TestDataspace ./internal/edc; fi
