# SPDX-License-Identifier: GPL-2.0-or-later
"""The nouns every room speaks (design.md, "Words"): frozen dataclasses and enums, no behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

Counters = Mapping[str, int]
"""Counter name -> value, as the SMMU's ``stats`` property names them (e.g. ``cmd-tlbi-nh-va``)."""


class Outcome(StrEnum):
    """What one workload did on one variant in one setup."""

    PASS = "PASS"
    LOOP = "LOOP"
    STALE = "STALE"
    CORRUPT = "CORRUPT"
    SPLAT = "SPLAT"
    HANG = "HANG"
    SKIP = "SKIP"
    INVALID = "INVALID"
    ERROR = "ERROR"

    @property
    def bad(self) -> bool:
        """The kernel did wrong."""
        return self in _BAD

    @property
    def undecided(self) -> bool:
        """Says nothing about the kernel."""
        return self in _UNDECIDED


_BAD = frozenset({Outcome.LOOP, Outcome.STALE, Outcome.CORRUPT, Outcome.SPLAT, Outcome.HANG})
_UNDECIDED = frozenset({Outcome.SKIP, Outcome.INVALID, Outcome.ERROR})


class Verdict(StrEnum):
    """What a patch does, judged over all paths and setups."""

    FIXES = "FIXES"
    PARTIAL = "PARTIAL"
    NO_EFFECT = "NO-EFFECT"
    REGRESSES = "REGRESSES"
    BASE_UNAFFECTED = "BASE-UNAFFECTED"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel source tree, resolved and unpacked in the cache (read-only)."""

    name: str
    """What the user asked for: ``6.1``, ``newest``, a path, ``TREE@REF``."""
    version: str
    """Of the tree's own Makefile: ``6.1.192``."""
    origin: str
    """Where it came from, exactly: ``Debian linux-source-6.1 6.1.192-2`` with suite, a git commit, a tarball."""
    digest: str
    """Hex SHA-256 of what was unpacked (package, tarball) or the git tree id."""
    tree: Path


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch of a series, as found in the user's input."""

    subject: str
    diff: str
    author: str = ""
    message_id: str = ""
    source: str = ""
    """File (and line) it was read from."""
    base_hint: str = ""
    """``base-commit:`` or a version named in the mail; empty if none."""
    files: tuple[str, ...] = ()
    """Paths the diff touches, relative to the tree."""
    hunks: tuple[int, ...] = ()
    """Line of the user's file for the header of each hunk of ``diff``, in order."""
    notes: tuple[str, ...] = ()
    """What had to be undone or left out to read it, a sentence each."""


@dataclass(frozen=True, slots=True)
class Series:
    """Patches in order of application. Empty for a base variant."""

    patches: tuple[Patch, ...] = ()
    title: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(sorted({f for p in self.patches for f in p.files}))


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """A variant that was built: kernel image and guest driver, in the cache."""

    kernel: Kernel
    series: Series
    key: str
    """Cache key: content of source, patches, configuration, driver and toolchain."""
    image: Path
    """arm64 ``Image``."""
    modules: tuple[Path, ...]
    """Modules built for this variant, the guest driver among them (``.ko``)."""
    config: Path
    """The resulting ``.config``."""
    log: Path
    """Output of the build."""
    release: str
    """``make kernelrelease``."""
    image_sha256: str
    objects: int
    """Objects compiled by this build (a patched variant: only what the patch touched)."""
    seconds: float
    """Wall time of this build; of the first one, when it came from the cache."""
    warnings: tuple[str, ...] = ()
    """Compiler warnings of this build, first lines."""
    confined: bool = True
    """Built in the sandbox: not where the user has turned it off."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """The patched QEMU."""

    binary: Path
    key: str
    version: str
    """As ``qemu-system-aarch64 --version`` prints it."""
    origin: str
    """Source package and exact version, tarball or tree, with hash."""


@dataclass(frozen=True, slots=True)
class GuestImage:
    """What a guest boots besides its kernel."""

    initramfs: Path
    """Base initramfs; the variant's modules are appended to it as a second archive."""
    disk: Path
    """Raw ext4 image, opened with snapshot=on."""
    client_key: Path
    """Private SSH key that the guest accepts."""
    host_key: str
    """The guest's public host key, ``ssh-ed25519 AAAA...``: pinned."""
    key: str
    packages: tuple[str, ...] = ()
    """Exact Debian packages inside: ``busybox-static 1:1.35.0-4 sha256:...``."""


MEMORY_MIB = 256
"""Of a guest: all paths do with 160; the rest is for larger kernels (docs/performance.md, "Memory")."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The machine: CPU model, SMMU features, page size of the kernel."""

    name: str
    cpu: str
    """QEMU CPU model; cortex-a57 has no hardware dirty bit, cortex-a76 has."""
    memory_mib: int = MEMORY_MIB
    cpus: int = 1
    page_kib: int = 4
    """Page size of the kernel: 4, 16 or 64 KiB."""
    ssidsize: int = 16
    stall: str = "on"
    """``off``, ``on``, or ``force``: all faults stall (SMMU_IDR0.STALL_MODEL)."""
    oas: int = 44
    """Output address size of the SMMU, bits; SVA needs at least the CPU's PARange."""
    iotlb: int = 65536
    """Entries of the IOTLB. The default is far more than a workload touches: an eviction heals a loop in silence.
    0: the SMMU caches nothing (the control)."""
    httu: str = "none"
    """What the SMMU updates in page tables: ``none``, ``access`` or ``dirty`` (both flags; SMMU_IDR0.HTTU)."""
    btm: str = "off"
    """``on``: the SMMU offers to take part in the CPU's TLB maintenance; ``force``: it does, whatever the driver
    wants (the control: Linux always sets SMMU_CR2.PTM)."""
    hw_dirty: bool = False
    """The CPU sets dirty bits in hardware (FEAT_HAFDBS)."""
    accel: str = "tcg"
    thp: str = "madvise"
    """What ``transparent_hugepage/enabled`` says in the guest: ``always``, ``madvise`` or ``never``."""
    contpte: bool = True
    """The kernel maps large folios with the contiguous bit (CONFIG_ARM64_CONTPTE, from 6.9 on)."""
    debug: bool = False
    """A kernel with DEBUG_VM and page poisoning; lockdep and atomic-sleep are in every one."""
    kasan: bool = False
    """A kernel with KASAN."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the catalogue of paths (guest-tests/workloads/catalogue.yaml)."""

    path: str
    """Name of the path and of its program in the guest."""
    family: str
    what: str
    functions: tuple[str, ...] = ()
    """Kernel functions it is about."""
    needs: str = ""
    """What a kernel or a machine may lack: the path is skipped then."""
    expect: Mapping[str, Outcome] = field(default_factory=dict)
    """Kernel series -> outcome that reading its source lets expect."""
    why: str = ""
    """The reason for that."""
    unmended: bool = False
    """It loops on every kernel so far, and docs/findings.md says why: not a patch's fault."""
    mended: Mapping[str, str] = field(default_factory=dict)
    """Kernel series in which it loops -> the upstream commit that mends it, with its release."""
    thread: str = ""
    control: bool = False
    """Expected clean on every kernel: it shows that the harness works."""


@dataclass(frozen=True, slots=True)
class Differs:
    """Where a setup changes what is expected of some paths."""

    paths: tuple[str, ...]
    """Names, or patterns of them."""
    when: Mapping[str, tuple[bool | int | str, ...]]
    """Field of the setup, or ``series`` -> values; all must fit."""
    expect: Outcome
    why: str


IOTLB_OFF = "base-iotlb-off"
"""Variant of a control: the base kernel on an SMMU that caches nothing."""
BTM_ON = "base-btm"
"""Variant of a control: the base kernel on an SMMU that takes part in the CPU's TLB maintenance."""
CONTROLS = {IOTLB_OFF: "with the IOTLB off", BTM_ON: "with BTM"}
"""Variants that are controls, and how to speak of them."""


@dataclass(frozen=True, slots=True)
class Splat:
    """Kernel text that says something is wrong: panic, oops, warning, lockdep, hung task, KASAN."""

    kind: str
    title: str
    """Its first line, without time stamp."""
    text: str
    """The whole trace."""
    line: int
    """Line of the console log, from 1."""


@dataclass(frozen=True, slots=True)
class PathResult:
    """One workload on one variant in one setup, with the evidence."""

    path: str
    setup: str
    outcome: Outcome
    reason: str = ""
    stalls: int = 0
    retries: int = 0
    tlbi: int = 0
    """SMMU TLB invalidation commands in the workload's measured window."""
    tlbi_wide: int = 0
    """Those over the whole workload that dropped all translations of an address space, or more."""
    notifier_calls: int = 0
    """Calls of the SMMU driver's notifier callback in that window."""
    seconds: float = 0.0
    facts: Mapping[str, str] = field(default_factory=dict)
    """``# key value`` lines of the workload's KTAP."""
    counters: Counters = field(default_factory=dict)
    """What the SMMU's own counters gained over the whole workload, over QMP."""
    ktap: str = ""
    splats: tuple[Splat, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """All that is known of one guest's life, for the oracle and the report."""

    variant: str
    """``base`` or ``patched``, or a control's name."""
    setup: str
    results: tuple[PathResult, ...]
    end: str
    """``POWEROFF``, ``PANIC``, ``HANG``, ``RESET``, ``QEMU-DIED``."""
    boot_splats: tuple[Splat, ...] = ()
    """Splats outside any workload."""
    boot_seconds: float = 0.0
    seconds: float = 0.0
    booted: bool = True
    """It came up far enough to be asked for a workload."""
    logs: Path | None = None
    """Folder with console, QMP log, command line, KTAP."""


class Change(StrEnum):
    """What the patch did to one path in one setup."""

    MENDED = "mended"
    STILL = "not mended"
    WORSE = "worse"
    SAME = "same"
    UNDECIDED = "undecided"
    NOT_NEEDED = "not applicable"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One path in one setup, on base and patched variant."""

    path: str
    setup: str
    base: PathResult
    patched: PathResult
    change: Change


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the reasons for it."""

    verdict: Verdict
    reason: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checks:
    """What was found of a series beside its verdict."""

    warnings: tuple[str, ...] = ()
    """Compiler warnings that the base does not have."""
    checkpatch: tuple[str, ...] = ()
    """Findings of the base tree's ``checkpatch.pl``, errors first."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, for the report: what went in, what was built, what came out."""

    job: str
    """``test-patch`` or ``run``."""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    kernel: Kernel
    series: Series
    base: BuiltKernel
    patched: BuiltKernel | None
    emulator: Emulator
    guest: GuestImage
    setups: tuple[Setup, ...]
    workloads: tuple[Workload, ...]
    records: tuple[GuestRecord, ...]
    """Every guest: base, patched, controls."""
    judgement: Judgement | None
    """None for a run without a patch."""
    status: int
    """Exit status of the command."""
    summary: str
    """The result in one sentence."""
    notes: tuple[str, ...] = ()
    base_why: str = ""
    """Why this kernel is the base, and how exactly the patch fits it; empty without a patch."""
    command: tuple[str, ...] = ()
    """The command that repeats the run."""
    checks: Checks = Checks()
    mended: Mapping[str, str] = field(default_factory=dict)
    """Path that loops or is stale on the base -> what is known to mend it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A series up to and with one of its patches."""

    number: int
    """From 1."""
    patch: Patch
    run: Run | None
    """None when it does not build."""
    faults: tuple[str, ...]
    """What is wrong with it, or worse than one patch before; empty for a step that a bisection can stand on."""
    detail: str = ""
    """The compiler's own words."""
