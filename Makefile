# Talos Manager. `make demo` and `make test` are all that is needed to begin.

GO      ?= go
BENCH   ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: demo test build bench lint generate screenshots clean

demo: ## the whole job on a simulated Hetzner, without an account
	$(GO) run ./cmd/talos-manager demo

test: ## everything CI checks: vet, lint, tests with the race detector; sets up what it needs
	bash scripts/test.sh

build: ## a static binary in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/talos-manager ./cmd/talos-manager

bench: ## figures: all, or one of them with BENCH=name
	bash scripts/bench.sh $(BENCH)

lint: ## vet, gofumpt, staticcheck, shellcheck
	bash scripts/lint.sh

generate: ## templates of the web pages
	cd tools/templ && $(GO) tool templ generate -path ../../internal/web

screenshots: ## pictures of every page, light, dark and on a phone, in docs/screenshots
	rm -rf docs/screenshots
	SCREENSHOTS=$(CURDIR)/docs/screenshots/pages $(GO) test -count=1 -run TestEveryPageFitsItsScreen ./internal/web
	SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -run TestAClusterIsMadeByClicks ./cmd/talos-manager

clean:
	rm -rf bin
