# SPDX-License-Identifier: GPL-2.0-or-later
# Every target sets up what it needs; `faultloop` itself gives the exit statuses of README.md, make only 0 or 2.

.DEFAULT_GOAL := help
.PHONY: help setup setup-test test-patch run sweep coverage stress selftests bisect compare reply report bundle reproduce history nightly catalogue shell trace scheduler worker doctor cache workloads check test test-unit test-emulator test-vm test-browser test-long bench format differential mutants fuzz compare-runs

FAULTLOOP := ./faultloop

# SANDBOX=off: build without bubblewrap (docs/sandbox.md)
ifdef SANDBOX
export FAULTLOOP_SANDBOX := $(SANDBOX)
endif

# POOL=tls://host:port, STORE=url: guests and builds on other machines (docs/pool.md)
ifdef POOL
export FAULTLOOP_POOL := $(POOL)
endif
ifdef STORE
export FAULTLOOP_STORE := $(STORE)
endif

# NAME=value on make's command line -> --option value, quoted for the shell
quote = '$(subst ','\'',$(1))'
option = $(if $($(1)),$(2) $(call quote,$($(1))))
inside = $(call option,KERNEL,--kernel) $(call option,PATCH,--patch) $(call option,SETUP,--setup) $(call option,ACCEL,--accel)
common = $(call option,SETUP,--setup) $(call option,WORKLOADS,--workloads) $(call option,ACCEL,--accel) \
	$(if $(FRESH),--fresh) $(if $(JSON),--json)

help:
	@echo 'make test-patch PATCH=... [BASE=6.1|6.12|newest|path] [SETUP=...] [WORKLOADS=...]    what does the patch do?'
	@echo '                PATCH: file, folder, mbox, saved thread, Message-ID, link, git:RANGE [TREE=...]; VERSION=2'
	@echo '                SANDBOX=off: without bubblewrap, for patches that you trust (docs/sandbox.md)'
	@echo 'make run        [KERNEL=6.1|6.12|newest|path]                       is my kernel affected?'
	@echo 'make sweep      [KERNELS=6.1,6.12,7.3] [SETUPS=...] [WORKLOADS=...]  workloads x kernels x setups, as one matrix'
	@echo 'make coverage   [KERNEL=...] [PATCH=file]                           which functions that raise an entry do the workloads run?'
	@echo 'make shell      [KERNEL=...] [PATCH=file] [SHARE=folder]            log in to a guest with the device'
	@echo 'make debug      WORKLOAD=... [KERNEL=...] [PATCH=file] [DRGN=1]      a guest stopped at the first LOOP or STALE, in gdb or drgn'
	@echo 'make vmcore     WORKLOAD=... or RUN=command [KERNEL=...]             its memory, when it panics or the path is stopped'
	@echo 'make trace      WORKLOAD=... [KERNEL=...] [PATCH=file] [EXPORT=run]  SMMU and kernel functions of one path, in one timeline'
	@echo 'make stress     [KERNEL=...] [SEED=...] [OPERATIONS=400]            random operations; what fails is shrunk'
	@echo 'make bisect     TREE=... GOOD=rev BAD=rev [WORKLOADS=...] [FIND=fix]    which commit broke it, or mended it?'
	@echo '                REPEAT=10: for what fails at times; BOOT_FAIL=bad; PATCHES="a b": fix-ups for each step; REPLAY=log'
	@echo 'make selftests  [KERNEL=...] [NAMES=...] [PATCH=file]               Linux'\''s own mm tests, bound to the device'
	@echo 'make compare    PATCHES="a b c" [BASE=...]                          several patches for the same thing, in one table'
	@echo 'make reply      [RUN=results/...]                                  a run as text for the mailing list'
	@echo 'make report     [RUN=results/...]                                  the reports of a run made anew: HTML, text, KTAP, JUnit'
	@echo 'make nightly    [TREE=...] [BRANCH=...] [BUDGET=15,4h] [KEEP=30]    the newest linux-next, against the nights before'
	@echo 'make compare-runs A=results/... B=results/... [HTML=file]           two runs: which paths changed, on what'
	@echo 'make history    PATH_NAME=... [KERNEL=...] [SETUP=...] [COUNTER=...] [HTML=file] what became of a path, run by run'
	@echo 'make bundle     [RUN=results/...]                                  a run in one archive, to be had again without building'
	@echo 'make reproduce  BUNDLE=file                                         is the outcome of each of its paths the same here?'
	@echo 'make catalogue  [KERNEL=6.1] [NAMES=...] [DRIFT=1]                  our own patches: is each as expected?'
	@echo 'make scheduler  [LISTEN=tls://host:port]                            of a pool of machines; then POOL=tls://host:port STORE=url'
	@echo 'make worker     POOL=tls://host:port [STORE=url] [BUILD=1] [GUESTS=n]  offer this machine to a pool'
	@echo 'make workloads                                                     which paths there are'
	@echo 'make doctor                                                        what is missing on this host'
	@echo 'make cache      [UNUSED=30]                                         what the cache holds; what no run asked for in so many days goes'
	@echo 'make test       all tests that fit into an hour on a new machine; make test-long: the rest'
	@echo 'make bench      [NAMES=...] [ROUNDS=5] [COLD=n] [SUITE=n]           what the harness costs, against the bare commands'
	@echo 'make endurance  [SOAK=200] [ROUNDS=20]                              guests in a row, and under full load: no leak, no other outcome'
	@echo 'make check      format, lint, types, unit tests: under a minute'

setup:
	@tools/setup.sh >/dev/null

# What tests need besides: chromium
setup-test:
	@tools/setup.sh --test >/dev/null

test-patch:
	@$(if $(PATCH),,echo 'make test-patch: name a patch: make test-patch PATCH=file' >&2; exit 2;) \
	$(FAULTLOOP) test-patch $(call option,BASE,--base) $(call option,VERSION,--version) $(call option,TREE,--tree) $(common) \
		$(if $(EACH),--each) -- $(call quote,$(PATCH))

run:
	@$(FAULTLOOP) run $(call option,KERNEL,--kernel) $(common)

sweep:
	@$(FAULTLOOP) sweep $(call option,KERNELS,--kernels) $(call option,SETUPS,--setups) $(common)

coverage:
	@$(FAULTLOOP) coverage $(call option,KERNEL,--kernel) $(call option,PATCH,--patch) $(common)

shell:
	@$(FAULTLOOP) shell $(call option,KERNEL,--kernel) $(call option,PATCH,--patch) $(call option,SETUP,--setup) \
		$(call option,ACCEL,--accel) $(call option,SHARE,--share)

.PHONY: debug vmcore
debug:
	@$(FAULTLOOP) debug $(call quote,$(WORKLOAD)) $(if $(DRGN),--drgn) $(inside) $(call option,COMMAND,--command)

vmcore:
	@$(FAULTLOOP) vmcore $(if $(RUN),--run $(call quote,$(RUN)),$(call quote,$(WORKLOAD))) $(inside) $(call option,COMMAND,--command)

trace:
	@$(FAULTLOOP) trace $(if $(EXPORT),--export $(call quote,$(EXPORT)),$(call quote,$(WORKLOAD))) $(call option,KERNEL,--kernel) \
		$(call option,PATCH,--patch) $(call option,SETUP,--setup) $(call option,ACCEL,--accel) $(if $(JSON),--json)

stress:
	@$(FAULTLOOP) stress $(call option,KERNEL,--kernel) $(call option,SETUP,--setup) $(call option,SEED,--seed) \
		$(call option,OPERATIONS,--operations) $(call option,ACCEL,--accel) $(if $(JSON),--json)

bisect:
	@$(FAULTLOOP) bisect $(call option,TREE,--tree) $(call option,GOOD,--good) $(call option,BAD,--bad) $(call option,FIND,--find) \
		$(call option,REPEAT,--repeat) $(call option,BOOT_FAIL,--boot-fail) $(call option,REPLAY,--replay) \
		$(call option,STEPS,--max-steps) $(call option,MINUTES,--max-minutes) $(foreach p,$(PATCHES),--patch $(call quote,$(p))) $(common)

selftests:
	@$(FAULTLOOP) selftests $(call option,KERNEL,--kernel) $(call option,PATCH,--patch) $(call option,SETUP,--setup) \
		$(call option,ACCEL,--accel) $(if $(JSON),--json) -- $(foreach n,$(NAMES),$(call quote,$(n)))

compare:
	@$(if $(PATCHES),,echo 'make compare: name patches: make compare PATCHES="a b"' >&2; exit 2;) \
	$(FAULTLOOP) compare $(foreach p,$(PATCHES),$(call quote,$(p))) $(call option,BASE,--base) $(common)

catalogue:
	@$(FAULTLOOP) catalogue $(call option,KERNEL,--kernel) $(if $(DRIFT),--drift) $(if $(FRESH),--fresh) $(if $(JSON),--json) \
		-- $(foreach n,$(NAMES),$(call quote,$(n)))

bundle:
	@$(FAULTLOOP) bundle $(if $(JSON),--json) $(if $(RUN),-- $(call quote,$(RUN)))

reproduce:
	@$(if $(BUNDLE),,echo 'make reproduce: name a bundle: make reproduce BUNDLE=file' >&2; exit 2;) \
	$(FAULTLOOP) reproduce $(if $(TRUST_EMULATOR),--trust-emulator) $(if $(JSON),--json) -- $(call quote,$(BUNDLE))

reply report:
	@$(FAULTLOOP) $@ $(if $(RUN),$(call quote,$(RUN)))

nightly:
	@$(FAULTLOOP) nightly $(call option,TREE,--tree) $(call option,BRANCH,--branch) $(call option,BUDGET,--budget) \
		$(call option,KEEP,--keep) $(call option,KEEP_SIZE,--keep-size) $(common)

compare-runs:
	@$(if $(and $(A),$(B)),,echo 'make compare-runs: name two runs: make compare-runs A=results/... B=results/...' >&2; exit 2;) \
	$(FAULTLOOP) compare-runs $(call option,HTML,--html) $(if $(JSON),--json) -- $(call quote,$(A)) $(call quote,$(B))

history:
	@$(if $(PATH_NAME)$(HTML),,echo 'make history: name a path: make history PATH_NAME=anon-reuse, or a page: HTML=file' >&2; exit 2;) \
	$(FAULTLOOP) history $(call option,KERNEL,--kernel) $(call option,SETUP,--setup) $(call option,COUNTER,--counter) \
		$(call option,HTML,--html) $(if $(JSON),--json) -- $(call quote,$(or $(PATH_NAME),*))

scheduler:
	@$(FAULTLOOP) scheduler $(if $(LISTEN),$(call quote,$(LISTEN)))

worker:
	@$(if $(POOL),,echo 'make worker: name the scheduler: make worker POOL=tls://host:port' >&2; exit 2;) \
	$(FAULTLOOP) worker $(if $(BUILD),--build) $(call option,GUESTS,--guests) -- $(call quote,$(POOL))

cache:
	@$(FAULTLOOP) cache $(call option,UNUSED,--remove-unused) $(if $(JSON),--json)

workloads doctor:
	@$(FAULTLOOP) $@ $(if $(JSON),--json)

# One shell, one python, each step its own verdict.
check: setup
	@tools/check.sh

format: setup
	@"$$(tools/setup.sh)" -m ruff check --fix --quiet .; "$$(tools/setup.sh)" -m ruff format .

# Model against reference, on random cases; SEED= and OPS= repeat one
differential: setup
	@"$$(tools/setup.sh)" -m tests.emulator.differential $(call option,SEED,--seed) \
		$(call option,ACCESSES,--accesses) $(call option,OPS,--ops)

# Does a test notice each deliberate breakage of the model? NAME= for one of tests/emulator/mutations
mutants: setup
	@"$$(tools/setup.sh)" -m tests.emulator.mutants $(if $(NAME),$(call quote,$(NAME)))

# Random input to an emulator with sanitizers
fuzz: setup
	@"$$(tools/setup.sh)" -m tests.emulator.fuzz $(call option,SEED,--seed) $(call option,SECONDS,--seconds)

# Guests on one of two workers, all else on the other (tests/conftest.py); in this order, as guests take longest
test: setup-test
	@"$$(tools/setup.sh)" -P -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m 'not long' \
		tests/vm tests/lifecycle tests/browser tests/emulator tests/tools tests/unit

# No guest, so two at a time: half a minute
test-emulator: setup
	@"$$(tools/setup.sh)" -P -m pytest -q -n 2 --dist worksteal -m 'not long' tests/emulator

# Pages in a real Chromium: half a minute
test-browser: setup-test

test-unit test-vm test-browser: setup
	@"$$(tools/setup.sh)" -P -m pytest -q -m 'not long' tests/$(@:test-%=%)

# Both run, whatever the first says; pytest's summary is the last line.
test-long: setup-test
	@"$$(tools/setup.sh)" -m tests.emulator.mutants; mutants=$$?; \
	"$$(tools/setup.sh)" -P -m pytest -q tests/unit tests/tools tests/lifecycle tests/browser tests/emulator tests/vm && exit $$mutants

# SOAK guests in a row, ROUNDS of family A beside stress-ng: docs/reliability.md
.PHONY: endurance
endurance: setup-test
	@SOAK=$(call quote,$(or $(SOAK),200)) ROUNDS=$(call quote,$(or $(ROUNDS),20)) \
		"$$(tools/setup.sh)" -P -m pytest -q -s tests/vm/test_endurance.py

# NAMES=, ROUNDS=, COLD=, SUITE=, WORKERS=: docs/performance.md
bench: setup
	@PYTHONPATH=. "$$(tools/setup.sh)" -P -m bench $(call option,ROUNDS,--rounds) $(call option,COLD,--cold) \
		$(call option,SUITE,--suite) $(call option,WORKERS,--workers) $(call option,KERNEL,--kernel) -- $(foreach n,$(NAMES),$(call quote,$(n)))
