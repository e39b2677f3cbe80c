SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

FUZZTIME ?= 60s
TOOL     := go tool -modfile=$(CURDIR)/tools/go.mod

CHAOS_DURATION ?= 2m
CHAOS_SEEDS    ?= 1
CHAOS_PARALLEL ?= 1
CHAOS_SEED     ?=

.PHONY: help build demo test chaos bench fuzz alerts lint cover clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/consentd
	CGO_ENABLED=0 go build -trimpath -o bin/consentd ./cmd/consentd

demo: ## one round on this machine: requests, answers, withdrawals, changes; ends with a summary
	go run ./cmd/consentd dev --rounds 1

# Many tests wait for a broker to give up a member: more run at once than there are CPUs, but of one package at a time, since each
# package has brokers of its own. The large ones run a second time, whole: the race detector has only a tenth of their records.
# `go test` hides skips. A new file name each time also keeps it from answering with the cached result of a package that skipped
# something, since that is tied to the variable's value.
test: ## all tests with the race detector, on the embedded broker and on Apache Kafka (Java and Maven)
	@skips=$$(mktemp); trap 'rm -f "$$skips"' EXIT; status=0; \
	KAFKATEST_SKIPS="$$skips" go test -race -p 1 -parallel 6 -timeout 10m ./... || status=$$?; \
	KAFKATEST_SKIPS="$$skips" go test -run '^TestLarge_' ./cmd/consentd || status=$$?; \
	go test -C chaos -race ./... || status=$$?; \
	if [ -s "$$skips" ]; then \
		printf '\n=== SKIPPED: %s tests did not run\n' "$$(sort -u "$$skips" | wc -l)"; sort -u "$$skips"; \
	fi >&2; \
	exit $$status

# It is a module of its own, so that what it checks with is not what it checks.
chaos: ## let things go wrong for CHAOS_DURATION (2m), CHAOS_SEEDS (1) times, and prove the promises (Java and Maven)
	go run -C chaos . --duration $(CHAOS_DURATION) --seeds $(CHAOS_SEEDS) --parallel $(CHAOS_PARALLEL) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) $(CHAOS_FLAGS)

# Apache Kafka prints its address when it answers.
bench: build ## items/s, CPU, memory and calls of the daemon on Apache Kafka, beside bare kafka-go; then at 5,000 a second
	@addr=$$(mktemp); trap 'kill %1 2>/dev/null; wait; rm -f "$$addr"' EXIT; set -m; \
	go run ./internal/kafkatest/apachekafka >"$$addr" & \
	until [ -s "$$addr" ]; do kill -0 %1 2>/dev/null || exit 1; sleep 0.2; done; \
	bin/consentd bench --brokers "$$(head -n 1 "$$addr")"; \
	bin/consentd bench --brokers "$$(head -n 1 "$$addr")" --rate 5000 --corps 1 --items 100000 --conversations 20000

fuzz: ## every fuzz target for FUZZTIME (60s)
	@go test -list '^Fuzz' ./... | \
	awk '/^Fuzz/ {found[n++] = $$1} /^ok/ {for (i = 0; i < n; i++) print $$2, found[i]; n = 0}' | \
	while read -r pkg target; do \
		echo "=== $$target in $$pkg"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
	done

alerts: ## check the alert rules and have each of them fire (promtool)
	cd deploy/prometheus && promtool check rules --lint-fatal alerts.yml && promtool test rules alerts_test.yml

lint: ## golangci-lint, gofumpt and deadcode, at the versions of tools/go.mod
	$(TOOL) golangci-lint run
	cd chaos && $(TOOL) golangci-lint run
	@bad=$$($(TOOL) gofumpt -l .); if [ -n "$$bad" ]; then echo "not formatted by gofumpt:"; echo "$$bad"; exit 1; fi
	@dead=$$($(TOOL) deadcode -test ./...); if [ -n "$$dead" ]; then echo "$$dead"; exit 1; fi

cover: ## statements covered by the tests, in all and in cover.html
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -html=cover.out -o cover.html
	go tool cover -func=cover.out | tail -n 1

clean: ## remove what the targets made
	rm -rf bin cover.out cover.html
