# SPDX-License-Identifier: MIT
# A thin door in front of meson: `make help` lists what there is.
PREFIX ?= /usr/local
LIBDIR ?= lib
FUZZ_SECONDS ?= 60
REPEAT ?= 20
ROWS ?=
WERROR ?= $(if $(CI),true,false)
need = scripts/prerequisites.sh

all: build/build.ninja ## build the library and the command into build/
	@ninja -C build release

build/build.ninja:
	@$(need) check build tools
	@meson setup build -Dtools=enabled -Dwerror=$(WERROR)

prerequisites: ## install what the build, the tests and the sanitizers need, through apt
	@$(need) install build tools tests sanitize fuzz

installed:
	@$(need) install build tools

testable:
	@$(need) install build tools tests
	@$(MAKE) --no-print-directory build/.testable

# Without cmocka a build has no tests; from here on that is an error.
build/.testable: | build/build.ninja
	@meson configure build -Dtests=enabled
	@touch $@

demo: installed ## install what is missing, build, and show what the library does
	@$(MAKE) --no-print-directory all
	@build/twostep demo

check: testable ## install what is missing, build, and run the tests
	@ninja -C build release
	@meson test -C build --print-errorlogs

check-long: testable ## the tests, many times over with new seeds (REPEAT=20)
	@meson test -C build --print-errorlogs --repeat $(REPEAT)

check-vm: ## boot real kernels with emulated IOMMUs, and run the tests of real devices in them (ROWS=)
	@$(need) install build tools tests vm
	@$(MAKE) --no-print-directory build/.testable
	@ninja -C build release guest-tests
	@tests/vm/check-vm.sh build $(ROWS)

check-sanitize: ## the tests under ASan, UBSan and TSan, with gcc and clang
	@$(need) install build tools tests sanitize
	@WERROR=$(WERROR) scripts/sanitize.sh

fuzz: ## run each fuzz target for FUZZ_SECONDS
	@$(need) install build fuzz
	@WERROR=$(WERROR) scripts/fuzz.sh $(FUZZ_SECONDS)

bench: all ## measure; writes build/bench.json
	@build/twostep bench --json > build/bench.json.part
	@mv build/bench.json.part build/bench.json
	@echo "build/bench.json is written"

docs: ## write the API reference into build/docs/; fails if a function has none
	@$(need) check build
	@scripts/reference.sh include build/docs $(CC)

install: build/build.ninja ## install to PREFIX (/usr/local), below DESTDIR
	@meson configure build -Dprefix=$(PREFIX) -Dlibdir=$(LIBDIR)
	@ninja -C build release
	@meson install -C build --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

clean: ## remove everything that was built
	@rm -rf build build-sanitize

help: ## list these
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 24

.PHONY: all prerequisites installed testable demo check check-long check-vm check-sanitize fuzz bench \
	docs install clean help
