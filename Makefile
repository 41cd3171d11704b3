# Muster. `make up` runs it here, `make test` tests it; `make help` lists the rest.
PORT ?= 8120
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
PYTHON ?= /usr/bin/python3
MESON_FLAGS = $(if $(CI),--werror)

.PHONY: help build up test bench install fmt lint clean need-build need-test need-lint fuzz
help:
	@echo 'make up [PORT=8120]   server and agent on this machine, enrolled, in the foreground'
	@echo 'make test             every test; the last line counts them'
	@echo 'make build            programs in build/'
	@echo 'make bench            the figures of docs/performance.md'
	@echo 'make fuzz [SECONDS=60]  every fuzz target for a while'
	@echo 'make install [DESTDIR=] [PREFIX=/usr/local]'
	@echo 'make fmt             lays out the lines you changed since the last commit'
	@echo 'make lint | clean'

need-build:
	@tools/need.sh packaging/packages-build.txt
need-test:
	@tools/need.sh packaging/packages-build.txt packaging/packages-test.txt

$(BUILD)/build.ninja: | need-build
	@meson setup $(MESON_FLAGS) $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -rf $(BUILD) $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

build: need-build $(BUILD)/build.ninja
	@ninja -C $(BUILD) $(NINJAFLAGS)

up: need-build
	@$(MAKE) --no-print-directory build NINJAFLAGS=--quiet
	@exec tools/up.sh $(BUILD) $(PORT)

test: need-test
	@exec $(PYTHON) tools/test.py

bench: need-test build
	@exec $(PYTHON) bench/run.py

fuzz: need-test
	@exec $(PYTHON) tools/fuzz.py --seconds $(or $(SECONDS),60)

install: build
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' BUILD='$(BUILD)' sh packaging/install.sh

need-lint:
	@tools/need.sh packaging/packages-build.txt packaging/packages-test.txt packaging/packages-lint.txt

fmt:
	@command -v clang-format >/dev/null || tools/need.sh packaging/packages-lint.txt
	@git clang-format --force --extensions c,h HEAD -- src tests bench

lint: need-lint
	@$(MAKE) --no-print-directory build NINJAFLAGS=--quiet
	@exec $(PYTHON) tools/lint.py

clean:
	@rm -rf build build-*
