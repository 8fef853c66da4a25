# Sentinel. `make` or `make help` lists what there is.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# grpcnotrace leaves gRPC's own tracing pages out, and html/template with them.
TAGS    := grpcnotrace
# The agent does not need HTTP/2 of net/http: gRPC has its own, and what it scrapes
# speaks HTTP/1.1.
AGENT_TAGS := $(TAGS),nethttpomithttp2
BINARIES := sentinel sentinel-server sentinel-worker sentinelctl

# Tools run from the module cache at these versions; nothing is installed.
BUF           := github.com/bufbuild/buf/cmd/buf@v1.75.0
PROTOC_GO     := google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
PROTOC_GO_GRPC := google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
GOLANGCI      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | while IFS=$$'\t' read -r t d; do printf '  %-14s %s\n' "$$t" "$$d"; done

DEMO_FLAGS ?= --interval 2s

.PHONY: demo
demo: postgres build ## Build and run the whole system on this host, with your own metrics in it
	./bin/sentinel $(DEMO_FLAGS)

BIN ?= bin

.PHONY: build
build: ## Build every binary into bin/ (BIN=DIR; GOOS and GOARCH for other systems)
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ $(addprefix ./cmd/,$(BINARIES))
	CGO_ENABLED=0 go build -trimpath -tags $(AGENT_TAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/sentinel-agent

# The race detector is linked by a C compiler, which nothing else needs.
CC_FOUND := $(shell command -v $$(go env CC) 2>/dev/null)
RACE     := $(if $(CC_FOUND),-race)

.PHONY: test
test: postgres ## Run every test with the race detector, on a real PostgreSQL and a real JetStream
	@$(if $(RACE),,echo "There is no C compiler here, so the tests run without the race detector; install gcc or clang to have it.")
	go test $(RACE) -vet=off -timeout 8m ./internal/systemtest ./... # the longest first; make lint vets

.PHONY: test-agent
test-agent: ## Run the tests of what an agent consists of, as on Windows and macOS, where nothing else is supported
	go test -short -timeout 10m $(addprefix ./internal/,atomicfile backoff collector config exposition filelock plugin service sign uplink wal wire)

.PHONY: postgres
postgres: # PostgreSQL's server programs are there, or get installed, or it is said how
	@./scripts/ensure-postgres.sh

.PHONY: check
check: generate-check docs-check lint test check-deploy build-all ## All that must hold before a change goes in

.PHONY: lint
lint: ## Check format, vet and lint Go and proto
	@test -z "$$(gofmt -l cmd deploy internal scripts sdk)" || { echo "not formatted, run make fmt:"; gofmt -l cmd deploy internal scripts sdk; exit 1; }
	go vet ./...
	go vet -tags bench ./scripts/...
	cd proto && go run $(BUF) lint
	go run $(GOLANGCI) run ./...

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -w cmd deploy internal scripts sdk

.PHONY: generate
generate: ui ## Generate code from proto/ and build the web interface
	@tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	GOBIN=$$tools go install $(PROTOC_GO) && GOBIN=$$tools go install $(PROTOC_GO_GRPC) && \
	cd proto && PATH="$$tools:$$PATH" go run $(BUF) generate

.PHONY: generate-check
generate-check: generate ## Fail where what is committed is not what its sources give
	@git diff --exit-code -- internal/sentinelpb || { echo "internal/sentinelpb has drifted: commit what make generate wrote"; exit 1; }
	@drift=$$(git status --porcelain -- internal/webui/dist); test -z "$$drift" || { echo "$$drift"; echo "internal/webui/dist has drifted: commit what make ui wrote"; exit 1; }

.PHONY: docs
docs: build ## Write the reference in docs/reference anew
	go test ./cmd/internal/command ./internal/api -run Reference -count=1 -update
	@for p in $(BINARIES) sentinel-agent; do echo "$$p"; HOME=/home/me XDG_CONFIG_HOME= XDG_DATA_HOME= ./bin/$$p reference >docs/reference/$$p.md; done

.PHONY: docs-check
docs-check: docs # fails where the reference is not what the programs say
	@drift=$$(git status --porcelain -- docs/reference); test -z "$$drift" || { git diff -- docs/reference | head -50; echo "$$drift"; echo "docs/reference has drifted: commit what make docs wrote"; exit 1; }

.PHONY: ui
ui: node_modules ## Check, test and build the web interface into internal/webui/dist
	cd internal/webui/ui && npm run --silent check && npm test --silent
	go run ./internal/webui/build

.PHONY: node_modules
node_modules: # the web interface's packages, exactly those of its lock file
	@command -v npm >/dev/null || { echo "the web interface is built with Node.js 20 or newer and npm: install them first"; exit 1; }
	cd internal/webui/ui && npm ci --silent

.PHONY: test-ui
test-ui: postgres build node_modules ## Open every view of the web interface in Chromium, against the real system
	cd internal/webui/ui && node test/browser.mjs

.PHONY: pictures
pictures: postgres build node_modules # the README's pictures of the web interface, anew
	mkdir -p docs/pictures
	cd internal/webui/ui && FOLDER="$(CURDIR)/docs/pictures" node test/pictures.mjs

.PHONY: build-all
build-all: ## Cross-build for Linux, Windows and macOS
	@for t in linux/amd64 linux/arm64 linux/arm windows/amd64 darwin/arm64; do \
		echo "build $$t"; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go build -tags $(TAGS) -o /dev/null ./cmd/sentinel-agent ./cmd/sentinelctl; done
	@for t in windows/amd64 darwin/arm64; do \
		echo "vet $$t"; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} go vet ./internal/... ./cmd/...; done

.PHONY: check-deploy
check-deploy: ## Check what is shipped as its readers do: Compose, Docker, Kubernetes, GitHub, editors
	cd deploy/check && go test -count=1 ./...

.PHONY: test-packages
test-packages: postgres ## Install, upgrade and purge the packages in a fresh Debian (root)
	./scripts/test-packages.sh

.PHONY: walk
walk: ## Follow docs/quickstart.md word for word, on two hosts (root)
	./scripts/walk.sh

.PHONY: packages
packages: ## Build archives, deb and rpm packages and checksums into dist/ (scripts/build-packages.sh --help)
	./scripts/build-packages.sh --version '$(VERSION)'

.PHONY: smoke
smoke: postgres build ## Start everything, ask for this host's samples, stop it
	./scripts/smoke.sh

.PHONY: chaos
chaos: postgres ## Kill processes for ten minutes and compare every sample (CHAOS_SECONDS)
	SYSTEMTEST_KILL_SECONDS=$${CHAOS_SECONDS:-600} go test $(RACE) -v -timeout 60m -run TestP8P9P13 ./internal/systemtest

.PHONY: promql
promql: postgres ## Run all of Prometheus' own scripts, and all comparisons with its answers
	go test -v ./internal/query/compat

.PHONY: soak
soak: postgres ## Torture the log (20,000 kills, a backlog of 10 GB) and alerting (killed workers for hours)
	SYSTEMTEST_ALERT_ROUNDS=$${ALERT_ROUNDS:-150} go test -v -timeout 3h -run TestP26P27 ./internal/systemtest
	SENTINEL_TORTURE_KILLS=20000 SENTINEL_TORTURE_BACKLOG=10 go test -timeout 10h -v ./internal/wal

.PHONY: zoo
zoo: postgres ## Run everything bad that a plugin can do 200 times, and a push to 200 agents (ZOO_ROUNDS)
	SENTINEL_ZOO_ROUNDS=$${ZOO_ROUNDS:-200} go test -timeout 3h -v -run TestP24Zoo ./internal/plugin
	SENTINEL_ZOO_SECONDS=120 go test -timeout 10m -v -run TestP24AgentBesideTheZoo ./internal/app/agent
	SENTINEL_FLEET_AGENTS=200 go test -timeout 10m -v -run TestP24PluginReachesTheFleet ./internal/systemtest

.PHONY: fuzz
fuzz: ## Fuzz every decoder, ten seconds each (FUZZ_TIME)
	@for p in $$(go list ./internal/...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz' || [ $$? -eq 1 ]); do \
		echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $${FUZZ_TIME:-10s} $$p; done; done

.PHONY: bench
bench: ## Run the benchmarks
	go test -run '^$$' -bench . -benchmem ./internal/...

BENCH_DIR ?= /var/tmp/sentinel-bench
.PHONY: bench-query
bench-query: postgres ## Time queries with two million series-hours stored, in a database that is kept (BENCH_DIR)
	SENTINEL_BENCH_DIR='$(BENCH_DIR)' go test -run '^$$' -bench . -benchtime 100x -timeout 60m ./internal/query

.PHONY: bench-alerts
bench-alerts: postgres ## Measure detection, backtests, and ingest beside bad receivers
	SENTINEL_BENCH_BACKTEST=1 go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./internal/app/alerts

BENCH_SECONDS ?= 180
.PHONY: bench-agent
bench-agent: postgres ## Measure the agent beside node_exporter and check its limits (BENCH_SECONDS=180)
	@BENCH_SECONDS='$(BENCH_SECONDS)' BENCH_TAGS='$(AGENT_TAGS)' BENCH_LDFLAGS='$(LDFLAGS)' go run -tags bench ./scripts/bench-agent

.PHONY: compare
compare: ## Compare what is collected with node_exporter, metric by metric
	@go run -tags bench ./scripts/compare-exporter

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist
