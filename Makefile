# Commands for development: see CONTRIBUTING.md.
.PHONY: build generate dev test soak fuzz bench check

build: generate
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o claviger .

# Builds what is generated and committed: templates, style sheet, htmx.
generate: node_modules
	go tool templ generate -path views
	npm run --silent assets

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

# Serves on http://127.0.0.1:7331 and reloads the page when a template, the style sheet or Go code changes.
dev: node_modules
	@npm run --silent css:watch & css=$$!; trap : INT; \
	CLAVIGER_DEV=1 go tool templ generate -path . -watch -proxy http://127.0.0.1:8080 -cmd "go run ."; \
	kill $$css; go tool templ generate -path views

test:
	go test ./...

# The long form of tests that depend on chance.
soak:
	SOAK=1 go test -count=1 -timeout 30m -run 'TestKilling|TestAKey' ./e2e/process
	SOAK=1 go test -count=1 -timeout 60m -run 'TestQuotasAndLimitsAgreeWithAModel|TestExactlyTheQuota' ./handlers/api
	SOAK=1 go test -count=1 -timeout 60m -run 'TestTheLogIsWhat|TestRowsAreRemoved|TestReaders' ./models/requestlog
	SOAK=1 go test -count=1 -timeout 60m -run 'TestQuotasAreNever' ./gate

fuzz:
	go test -run '^$$' -fuzz FuzzParseSecret -fuzztime 30s ./models
	go test -run '^$$' -fuzz FuzzValidateBody -fuzztime 30s ./handlers/api
	go test -run '^$$' -fuzz FuzzValidateHeaders -fuzztime 30s -fuzzminimizetime 20x ./handlers/api
	go test -run '^$$' -fuzz FuzzSeries -fuzztime 30s ./gate
	go test -run '^$$' -fuzz FuzzDecodeRequestLogs -fuzztime 30s ./models/requestlog
	go test -run '^$$' -fuzz FuzzDecodeIndex -fuzztime 30s ./models/requestlog/sqlite

# Measures the speed and compares with the baseline: bench/README.md. BENCH="-short" takes about a minute.
bench:
	go run ./bench $(BENCH)

# Runs what CI runs.
check:
	bash .ci/run
