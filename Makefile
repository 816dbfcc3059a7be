# Each target does its own set-up on a bare Debian or Ubuntu machine; nothing is installed that is already there.
#
#   make run      a master and two nodes at work on this machine, until Ctrl-C
#   make test     everything that .ci/run calls: check, build, all tests
#   make check    formatting, lints, and a check of the code for Windows
#   make bench    the table "Speed and memory", measured here beside nginx, zip and others; ROWS=serve,sync for a part
#   make e2e      (comes with the window)
#   make package  (comes with the window)

SHELL := /bin/bash
CARGO := tools/with-rust cargo
# One build for all targets: where the programs lie after it.
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
ROWS ?=
TESTS ?=

.PHONY: run test check bench e2e package setup

setup:
	@tools/setup check

run:
	@tools/setup build
	$(CARGO) build --release --locked -p posthouse -p posthouse-tests --bin posthouse --bin posthouse-demo
	@exec $(TARGET_DIR)/release/posthouse-demo

check:
	@tools/setup check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@if [[ -e target/setup/windows ]]; then set -x; \
		$(CARGO) check --locked --workspace --all-targets --target x86_64-pc-windows-gnu; \
	fi

# The runner comes last, so that its summary is the last thing to be seen.
test: check
	$(CARGO) build --locked --workspace --all-targets
	$(CARGO) test --locked --workspace --doc --quiet
	@if $(CARGO) nextest --version >/dev/null 2>&1; then set -x; \
		exec $(CARGO) nextest run --locked --workspace $(TESTS); \
	else set -x; \
		exec $(CARGO) test --locked --workspace --no-fail-fast --lib --bins --tests -- --test-threads=6 $(TESTS); \
	fi

bench:
	@tools/setup bench
	$(CARGO) build --release --locked -p posthouse -p posthouse-tests --bin posthouse --bin posthouse-bench
	@exec $(TARGET_DIR)/release/posthouse-bench $(if $(ROWS),--rows $(ROWS))

e2e:
	@echo "make e2e: tests of the window come with the window; the program has none yet (make test runs everything there is)."

package:
	@echo "make package: installers come with the window; until then 'make run' builds the program to $(TARGET_DIR)/release/posthouse."
