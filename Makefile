# Metrino. `make help` lists what can be made.
#
# One variant is built at a time: release in build/, the others in folders of their own beside
# it. Any target can be asked for in another variant by its name: `make unit-asan`, `make all-debug`.

VARIANT ?= release
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
SEEDS ?= 200
SEED ?=

CC = gcc
WARNINGS = -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Werror
HARDENING = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection
LANGUAGE = -std=c11 -D_GNU_SOURCE -I.
SANITIZE = -g -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all

# Objects hold both code and what the linker can optimise as a whole: programs are, tests are not.
FLAGS_release = -O2 -g -flto=auto -ffat-lto-objects $(HARDENING)
FLAGS_debug = -Og -g3
# What is shipped, but not optimised as a whole, which takes as long again; and it ends itself where it is told to, and its
# clock can be set: broker/core/crash.h, broker/net/moment.h.
FLAGS_chaos = $(filter-out -flto=auto -ffat-lto-objects,$(FLAGS_release)) -DMETRINO_CRASH_STEPS -DMETRINO_TEST_CLOCK
# With checks woven in, gcc forgets the ranges of values and sees narrowing where there is none.
FLAGS_asan = $(SANITIZE) -fsanitize=address,undefined -Wno-conversion
FLAGS_tsan = $(SANITIZE) -fsanitize=thread
FLAGS_fuzz = $(SANITIZE) -fsanitize=address,undefined,fuzzer-no-link

OUT = $(if $(filter release,$(VARIANT)),build,build/$(VARIANT))
OPTIMISE = $(or $(FLAGS_$(VARIANT)),$(error VARIANT is one of release debug asan tsan fuzz chaos))
CFLAGS = $(LANGUAGE) $(WARNINGS) $(OPTIMISE) -fPIE -pthread
LDFLAGS = $(OPTIMISE) -pie -pthread -Wl,-z,relro,-z,now,--as-needed
LDLIBS = -lseccomp -lwslay -lmbedtls -lmbedx509 -lmbedcrypto -largon2 -llmdb -lsodium -lmicrohttpd -ljansson -lcurl -lm

export UBSAN_OPTIONS = print_stacktrace=1
# Tests are short: what they freed long ago is not worth searching for leaks at the end of each.
export ASAN_OPTIONS = quarantine_size_mb=16

# The disk is what a sanitizer does not look at: where there is room its tests wait for none.
ifneq ($(filter asan tsan,$(VARIANT)),)
in_memory := $(shell test -w /dev/shm && df --output=avail /dev/shm | awk '$$1+0 > 4000000 { print "/dev/shm" }')
ifneq ($(in_memory),)
export TMPDIR = $(in_memory)
endif
endif

# ThreadSanitizer maps fixed addresses, which kernels with wide address randomisation occupy.
RUN = $(if $(filter tsan,$(VARIANT)),$(shell setarch -R true 2>/dev/null && echo setarch -R))

# As many jobs as there are processors, unless the caller said how many, or cleans first.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS))$(filter clean,$(MAKECMDGOALS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL = all

# A floor is a folder (docs/house.md) and becomes an archive, so that a program takes from it
# what it uses. main.c stays outside: it belongs to one program.
floors = proto storage auth broker/core broker/net broker cli
sources_of = $(filter-out %/main.c,$(wildcard $(1)/*.c) $(if $(filter storage,$(1)),$(wildcard $(1)/*/*.c)))
objects_of = $(patsubst %.c,$(OUT)/%.o,$(1))
archive_of = $(OUT)/lib$(notdir $(1)).a
archives = $(foreach floor,$(floors),$(call archive_of,$(floor)))
sources = $(foreach floor,$(floors),$(call sources_of,$(floor))) $(wildcard broker/main.c cli/main.c)
test_sources = $(wildcard tests/*/*.c)

programs = $(OUT)/metrinod $(OUT)/metrino

.PHONY: all help run test unit sim integration hostile conformance conformance-tests lint format example sbom install uninstall clean

all: $(programs) ## the two programs, optimised and hardened (the default)
	@:

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
	@echo '  make TARGET-asan|-tsan|-debug   the same target in another build'

run: ## installs what building needs, builds, and starts a broker on port 1883
	@scripts/setup run
	@$(MAKE) all
	@exec scripts/run $(OUT)/metrinod

test: ## installs what testing needs, builds, and runs every test in every build
	@scripts/setup run test
	+@exec scripts/test

# All that `make test` runs, in every build.
.PHONY: test-programs test-programs-all
test-programs: $(programs) $(OUT)/unit $(OUT)/sim $(OUT)/audit_append $(OUT)/keys_tool $(OUT)/store_tool
test-programs-all: test-programs $(OUT)/attacks $(OUT)/carve test-programs-asan test-programs-tsan all-chaos fuzzers

unit: $(OUT)/unit ## unit tests
	$(RUN) tests/unit/run $<

sim: $(OUT)/sim ## simulated worlds: SEEDS=n of them, or the one of SEED=n; and faults planted in them
	$(RUN) $< $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))
	$(if $(SEED),,$(RUN) $< --planted)

integration: $(programs) $(OUT)/audit_append $(OUT)/keys_tool $(OUT)/store_tool ## real clients against the real broker
	METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino $(RUN) tests/integration/run

hostile: $(programs) ## a broker that is stopped for a whole minute, and one with 2,000 wrong logins a second for another
	STOP_S=60 METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino tests/integration/run -v test_hostile_load.Stopped
	STORM_S=60 STORM_RATE=2000 METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino tests/integration/run -v test_login_storm

conformance-tests: $(programs)
	METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino $(RUN) tests/conformance/run

# The results of all tests that are cited, joined with the tables of statements and bad inputs.
conformance: $(OUT)/unit $(programs) docs/conformance.md ## the specification, statement by statement: test and result
	@mkdir -p $(OUT)/conformance
	@echo 'conformance: unit tests'; CK_VERBOSITY=verbose $(OUT)/unit >$(OUT)/conformance/unit.log || :
	@for folder in conformance integration; do echo "conformance: tests/$$folder"; \
		METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino \
		tests/$$folder/run -v $$(scripts/spec_coverage --tests $$folder) >$(OUT)/conformance/$$folder.log || :; done
	@scripts/spec_coverage --results $(addprefix $(OUT)/conformance/,unit.log conformance.log integration.log)

docs/conformance.md: $(wildcard tests/conformance/* tests/unit/*.c tests/integration/*.py) scripts/spec_coverage $(sources)
	scripts/spec_coverage --document

# ---- objects, archives, programs

# One short line per command; the whole command with V=1.
say = $(if $(V),,@echo '  $(1)	$@'; )

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

define archive
$(call archive_of,$(1)): $(call objects_of,$(call sources_of,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@gcc-ar rcs $$@ $$^
endef
$(foreach floor,$(floors),$(eval $(call archive,$(floor))))

link = $(call say,LINK)$(CC) $(LDFLAGS) $(if $(filter $(programs),$@),,-fno-lto) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group

$(OUT)/metrinod: $(OUT)/broker/main.o $(archives)
	$(link) $(LDLIBS)

$(OUT)/metrino: $(OUT)/cli/main.o $(archives)
	$(link) $(LDLIBS)

$(OUT)/unit: $(call objects_of,$(wildcard tests/unit/*.c tests/lib/*.c)) $(archives)
	$(link) -lcheck -lsubunit $(LDLIBS) -lrt

$(OUT)/sim: $(call objects_of,$(wildcard tests/sim/*.c tests/lib/*.c)) $(archives)
	$(link) $(LDLIBS)

$(OUT)/bench/relay: $(OUT)/tests/bench/relay.o $(archives)
	@mkdir -p $(@D)
	$(link) $(LDLIBS)

$(OUT)/bench_micro: $(OUT)/tests/bench/micro.o $(archives)
	$(link) $(LDLIBS)

# A data directory with a million accounts.
$(OUT)/populate: $(OUT)/tests/bench/populate.o $(archives)
	$(link) $(LDLIBS)

# Tries to find out what the releases of days are to hide: tests/privacy.
$(OUT)/attacks: $(OUT)/tests/privacy/attacks.o $(archives)
	$(link) $(LDLIBS)

# Reads what can still be read from raw bytes.
$(OUT)/carve: $(OUT)/tests/privacy/carve.o $(OUT)/tests/privacy/carve_tree.o $(archives)
	$(link) $(LDLIBS)

# Makes audit logs, and dies or fails where it is told to: tests/audit.
$(OUT)/audit_append: $(OUT)/tests/audit/append.o $(archives)
	$(link) $(LDLIBS)

# Makes and destroys keys, and dies or fails where it is told to: tests/keys.
$(OUT)/keys_tool: $(OUT)/tests/keys/keys_tool.o $(archives)
	$(link) $(LDLIBS)

# A data directory in which keys come and go: tests/keys.
$(OUT)/store_tool: $(OUT)/tests/keys/store_tool.o $(archives)
	$(link) $(LDLIBS)

# For LD_PRELOAD: tests/power.
build/power.so: tests/power/shim.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(LANGUAGE) $(WARNINGS) -O2 -g -fPIC -shared -pthread -o $@ $<

$(OUT)/fuzz_%: $(OUT)/tests/fuzz/fuzz_%.o $(call objects_of,$(filter-out tests/fuzz/fuzz_%,$(wildcard tests/fuzz/*.c))) $(archives)
	$(link) -fsanitize=fuzzer $(LDLIBS) -lunistring

.SECONDARY: $(call objects_of,$(test_sources))

-include $(patsubst %.c,$(OUT)/%.d,$(sources) $(test_sources))

# The same target in another variant.
%-debug: ; @$(MAKE) VARIANT=debug $*
%-asan: ; @$(MAKE) VARIANT=asan $*
%-tsan: ; @$(MAKE) VARIANT=tsan $*
%-chaos: ; @$(MAKE) VARIANT=chaos $*

# ---- fuzzers, in build/fuzz

fuzzers = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: fuzz fuzz-short fuzzers
fuzz: ## fuzzers: T=name of one, S=seconds for each (60); what they find is in build/fuzz/findings
	@scripts/setup run test
	@$(MAKE) fuzzers
	tests/fuzz/run -s $(or $(S),60) $(T)

fuzz-short: fuzzers
	tests/fuzz/run -s 10

fuzzers:
	@$(MAKE) VARIANT=fuzz CC=clang $(fuzzers)

# tests/chaos/README.md; SEED=n repeats a run, KILLS=n sets how many.
# Who does not get the processor for a second falls behind, and loses by right: here nobody does.
chaos_run = METRINOD=$(CURDIR)/$(OUT)/metrinod $(RUN) tests/chaos/chaos --self-test $(if $(SEED),--seed $(SEED)) --config "ack_hold_max 10"
chaos_handful = outbound_recorded,received_recorded,inbound_ended

.PHONY: chaos chaos-short chaos-compare power
chaos: $(OUT)/metrinod all-chaos ## kill -9, KILLS=2000 times with each QoS, and at each step of the protocol: what is lost?
	$(chaos_run) --qos each --kills $(or $(KILLS),2000) --step all

chaos-short: $(OUT)/metrinod all-chaos
	$(chaos_run) --kills 20 --seconds 15 --step $(chaos_handful) --one-setup --deaths 1

power: $(OUT)/metrinod build/power.so ## the same, and the power goes away each time: LOSSES=60 times with each QoS
	$(chaos_run) --power --qos each --kills $(or $(LOSSES),60)

.PHONY: store-steps
store-steps: $(OUT)/store_tool build/power.so ## a death, and a loss of power, at each step of what the keys of a data directory go through
	STORE_STEPS=all CLASS_TIMEOUT_S=3600 tests/integration/run -v test_store_steps

chaos-compare: $(OUT)/metrinod
	tests/chaos/compare --broker $(CURDIR)/$(OUT)/metrinod --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

.PHONY: days days-broken minutes canaries
days: $(OUT)/carve all-chaos ## virtual days, DAYS=3 of them, and what can be read of each from the raw bytes (100 take minutes)
	CARVE=$(CURDIR)/$(OUT)/carve METRINOD=$(CURDIR)/build/chaos/metrinod METRINO=$(CURDIR)/build/chaos/metrino \
		DAYS=$(or $(DAYS),3) CLASS_TIMEOUT_S=3600 tests/privacy/run test_days test_clock

days-broken: $(OUT)/carve all-chaos ## the same with brokers that each break a promise: has it been seen?
	CARVE=$(CURDIR)/$(OUT)/carve tests/privacy/broken

canaries: $(programs) ## OPERATIONS=n of them (1,000,000) by clients whose every word is searched for afterwards
	METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino CLASS_TIMEOUT_S=3600 \
		OPERATIONS=$(or $(OPERATIONS),1000000) tests/privacy/run test_canaries

minutes: $(programs) $(OUT)/carve ## what is shipped, with limits of a minute, in real time: MINUTES=4
	CARVE=$(CURDIR)/$(OUT)/carve METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino \
		CLASS_TIMEOUT_S=3600 tests/privacy/run test_minutes

# They change the machine while they run: tests/privacy/machine says how.
.PHONY: swap-search core-search
swap-search: $(programs) ## root: what of a broker is in swap, on an area of its own that is switched on meanwhile
	METRINOD=$(CURDIR)/$(OUT)/metrinod tests/privacy/machine swap

core-search: $(programs) ## root: what a pipe in the core pattern, which is set meanwhile, receives of a broker that crashes
	METRINOD=$(CURDIR)/$(OUT)/metrinod tests/privacy/machine core

.PHONY: attacks
attacks: $(OUT)/attacks ## what can be found out from the releases of days, in ATTACKS=40000 runs of each attack
	$(RUN) $< $(ATTACKS)

# ---- speed: tests/bench; tables go to build/bench. ROUNDS=n, SECONDS=n for each run; FIRST=1 goes before what
# else the machine does.

bench_run = tests/bench/run $(1) -r $(or $(ROUNDS),$(2)) $(if $(SECONDS),-s $(SECONDS)) $(if $(FIRST),--first)

.PHONY: bench bench-scale bench-latency bench-http bench-micro bench-tls bench-storm bench-programs
bench-programs: $(programs) $(OUT)/bench/relay
	@scripts/setup test
	@scripts/mosquitto-unpack >/dev/null

bench: bench-programs ## processor time per message and memory, beside the floor and mosquitto: docs/performance.md
	$(call bench_run,rows,3)

bench-scale: bench-programs ## the same at three sizes each, and with two workers
	$(call bench_run,scale,1)
	$(call bench_run,workers,2)

bench-latency: bench-programs ## latency at a fixed rate, and beside commits
	$(call bench_run,latency,3)

bench-http: bench-programs ## the same while somebody asks for 1,000 pages a second over HTTP
	$(call bench_run,http,5)

bench-tls: $(programs) ## handshakes, messages and memory with TLS, beside mosquitto
	@scripts/setup test
	tests/bench/tls -r $(or $(ROUNDS),3)

bench-storm: $(programs) ## CLIENTS=n of them (10,000) come back at once over TLS, by session token
	METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino tests/bench/storm -n $(or $(CLIENTS),10000)

.PHONY: million
million: $(programs) $(OUT)/populate ## a million sessions and accounts: what a start takes, and an erasure
	@scripts/setup test
	METRINOD=$(CURDIR)/$(OUT)/metrinod METRINO=$(CURDIR)/$(OUT)/metrino tests/bench/million -r $(or $(ROUNDS),3)

bench-micro: $(OUT)/bench_micro ## nanoseconds for each step: codec, trie, window, message
	tests/bench/run micro

# ---- lint

lint: ## every check that is not a test: floors, layout, analysers
	@scripts/setup run test lint
	@$(MAKE) -k --output-sync=target lint-all

.PHONY: lint-all lint-tree lint-symbols lint-scripts lint-layout lint-cppcheck
lint-all: lint-tree lint-symbols lint-scripts lint-layout lint-cppcheck $(patsubst %.c,build/lint/%.ok,$(sources) $(test_sources))
	@echo 'lint: nothing to complain about'

lint-tree:
	@scripts/floors
	@scripts/lengths
	@scripts/words
	@scripts/spec_coverage --check

lint-symbols: $(call objects_of,$(call sources_of,proto) $(call sources_of,broker/core))
	@scripts/symbols $^

lint-scripts:
	@shellcheck $$(grep -slE -d skip '^#!/bin/(ba)?sh' scripts/* .ci/* tests/*/*)

lint-layout:
	@clang-format --dry-run -Werror $$(find proto storage auth broker cli tests -name '*.[ch]')

# It cannot expand our tables' macros and says so; the compilers would have said it if it were true.
lint-cppcheck:
	@cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 -I. -D_GNU_SOURCE -j2 \
		--enable=warning,performance,portability --suppress=preprocessorErrorDirective $(sources)

# How many states of one function clang's analyzer goes through. Its own number, `make lint NODES=225000`, takes three times
# as long: for now and then.
NODES ?= 75000

# One stamp per source: only what changed since is analysed again. gcc 12 calls it a leak when a
# pointer is returned as one to its first member; clang and LeakSanitizer look for real ones.
# Tests are compiled by clang as well, and that is all: they run under the sanitizers.
build/lint/tests/%.ok: tests/%.c
	@mkdir -p $(@D)
	@clang $(LANGUAGE) $(WARNINGS) -fsyntax-only -MMD -MP -MT $@ -MF $(@:.ok=.d) $<
	@touch $@

build/lint/%.ok: %.c .clang-tidy
	@mkdir -p $(@D)
	@gcc $(LANGUAGE) $(WARNINGS) -O1 -fanalyzer -Wno-analyzer-malloc-leak -MMD -MP -MT $@ -MF $(@:.ok=.d) -c -o /dev/null $<
	@clang $(LANGUAGE) $(WARNINGS) -fsyntax-only $<
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(LANGUAGE) \
		-Xclang -analyzer-config -Xclang max-nodes=$(NODES) 2>/dev/null
	@touch $@

-include $(patsubst %.c,build/lint/%.d,$(sources) $(test_sources))

format: ## lays the sources out as .clang-format says
	clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')

# ---- what is made from the programs

example: $(OUT)/metrinod ## metrino.conf.example and its manual page, from the table in the broker
	$< --example-config >metrino.conf.new
	mv metrino.conf.new metrino.conf.example
	$< --config-manual >metrino.conf.5.new
	mv metrino.conf.5.new docs/man/metrino.conf.5

sbom: $(programs) ## the libraries inside the programs, with versions and licences (CycloneDX)
	@scripts/setup test
	@scripts/sbom $(programs)

install: $(programs) ## programs, configuration and systemd unit (DESTDIR, PREFIX, SYSCONFDIR)
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(programs)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/metrino metrino.conf.example README.md CHANGELOG.md SECURITY.md LICENSE
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/metrino/docs $(wildcard docs/*.md)
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(SYSCONFDIR)/metrino
	sed 's,@PREFIX@,$(PREFIX),; s,@SYSCONFDIR@,$(SYSCONFDIR),' scripts/metrinod.service.in \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/metrinod.service
	test -e $(DESTDIR)$(SYSCONFDIR)/metrino/metrino.conf || \
		install -m 644 metrino.conf.example $(DESTDIR)$(SYSCONFDIR)/metrino/metrino.conf
	$(foreach page,$(wildcard docs/man/*.[1-8]),install -D -m 644 -t \
		$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(page))) $(page);)

uninstall: ## what install put there, except the configuration
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/metrinod bin/metrino lib/systemd/system/metrinod.service)
	rm -f $(foreach page,$(wildcard docs/man/*.[1-8]),$(DESTDIR)$(PREFIX)/share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/metrino

clean: ## removes build/; the broker's data in var/ stays
	rm -rf build
