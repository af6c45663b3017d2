# SPDX-License-Identifier: GPL-2.0-or-later
"""The layout of ``run.json``: what one run was, and all that came of it. Every report is made from this.

``schema`` names the layout and its version, ``faultloop/run/MAJOR.MINOR``. A minor version adds fields, each with
a default for files that lack it; readers pass over fields that they do not know. A major version may change
anything: readers refuse another than theirs. docs/run.schema.json is made from these classes.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from harness.errors import UserError
from harness.model import Change, Outcome, Setup, Splat, Verdict, Workload

MAJOR, MINOR = 1, 1
SCHEMA = f"faultloop/run/{MAJOR}.{MINOR}"
_NAME = re.compile(r"faultloop/run/(\d{1,9})(?:\.\d{1,9})?")


def _whole(text: object) -> object:
    """Half a surrogate pair, as a broken mail may hold one, is no text that could be written to a file."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_whole)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, populate_by_name=True)


class _Sparse(_Part):
    """A part whose absent fields are left out of the file, not null there."""

    @model_serializer(mode="wrap")
    def _absent_not_null(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Result(_Part):
    """One workload on one variant in one setup."""

    outcome: Outcome
    reason: Text = ""
    stalls: int = 0
    """Of the device's access, in the measured window."""
    retries: int = 0
    tlbi: int = 0
    """TLB invalidation commands that the SMMU received in the measured window."""
    tlbi_wide: int = 0
    """Those over the whole workload that dropped all translations of an address space, or more."""
    notifier_calls: int = 0
    """Calls of the SMMU driver's notifier callback in the measured window."""
    seconds: float = 0.0
    facts: dict[Text, Text] = {}
    """What the workload found, by name."""
    counters: dict[Text, int] = {}
    """What the SMMU's own counters gained over the whole workload."""
    splats: tuple[Splat, ...] = ()


class Row(_Sparse):
    """One path in one setup."""

    path: Text
    setup: Text
    base: Result
    patched: Result | None = None
    """Absent in a run without a patch, as is ``change``."""
    change: Change | None = None
    controls: dict[str, Result] = {}
    """By variant of a control. Since 1.1."""

    def results(self) -> dict[str, Result]:
        """All of them by variant, base first."""
        patched = {"patched": self.patched} if self.patched else {}
        return {"base": self.base, **patched, **self.controls}


class GuestFile(_Part):
    """One guest. Its logs are in the run's folder, under ``variant/setup``."""

    variant: Text
    setup: Text
    end: Text
    """``POWEROFF``, ``PANIC``, ``HANG``, ``RESET``, ``QEMU-DIED``."""
    boot_seconds: float = 0.0
    seconds: float = 0.0
    booted: bool = True
    """Since 1.1."""
    outcomes: dict[str, Outcome]
    """By path, in the order in which they were run."""
    boot_splats: tuple[Splat, ...] = ()
    """Splats outside any workload."""


class PatchFile(_Part):
    subject: Text
    author: Text = ""
    message_id: Text = ""
    source: Text = ""
    base_hint: Text = ""
    files: tuple[Text, ...] = ()
    sha256: Text = ""
    """Of its diff."""


class SeriesFile(_Part):
    title: Text
    patches: tuple[PatchFile, ...]


class KernelFile(_Part):
    name: Text
    """As the user asked for it."""
    version: Text
    origin: Text
    sha256: Text


class Build(_Part):
    key: Text
    release: Text
    image_sha256: Text
    objects: int
    """Compiled by this build: of a patched kernel, those that the patch touched."""
    seconds: float = 0.0
    warnings: tuple[Text, ...] = ()
    sandbox: Text = "bubblewrap"
    """``off`` when the user turned it off."""


class Builds(_Sparse):
    base: Build
    patched: Build | None = None
    """Absent in a run without a patch."""


class EmulatorFile(_Part):
    version: Text
    origin: Text = ""
    key: Text = ""


class GuestImageFile(_Part):
    key: Text = ""
    packages: tuple[Text, ...] = ()


class ChecksFile(_Part):
    """What was found of a series beside its verdict."""

    warnings: tuple[Text, ...] = ()
    checkpatch: tuple[Text, ...] = ()


class StepFile(_Part):
    """A series up to and with one of its patches; only where it was run patch by patch."""

    number: int
    subject: Text
    verdict: Verdict | None = None
    faults: tuple[Text, ...] = ()
    detail: Text = ""


class RunFile(_Part):
    """``run.json``."""

    layout: Annotated[str, Field(alias="schema", pattern=rf"^faultloop/run/{MAJOR}(\.\d+)?$")] = SCHEMA
    """The layout and its version: ``faultloop/run/MAJOR.MINOR``."""
    faultloop: Text
    """Version of faultloop."""
    job: Text
    """``test-patch`` or ``run``."""
    started: Text
    """UTC, ISO 8601."""
    seconds: float
    verdict: Verdict | None
    """Null for a run without a patch."""
    summary: Text
    """The result in one sentence."""
    exit_status: int
    mended: dict[Text, Text] = {}
    """Path that loops or is stale on the base -> what is known to mend it."""
    notes: tuple[Text, ...] = ()
    checks: ChecksFile = ChecksFile()
    command: tuple[Text, ...] = ()
    """Arguments of ``faultloop`` that repeat the run; ``{here}`` is the folder of this file."""
    patch: SeriesFile | None = None
    kernel: KernelFile
    base_why: Text = ""
    """Why this kernel is the base, and how exactly the patch fits it."""
    builds: Builds
    emulator: EmulatorFile
    guest: GuestImageFile = GuestImageFile()
    setups: dict[str, Setup]
    workloads: tuple[Workload, ...] = ()
    """Rows of the catalogue of paths, as they were then. Since 1.1."""
    paths: tuple[Row, ...]
    guests: tuple[GuestFile, ...] = ()
    steps: tuple[StepFile, ...] = ()


def parse(text: str | bytes, name: str) -> RunFile:
    """The file ``name`` that holds ``text``; UserError when it is none that can be read, with why."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"{name}: not a whole run.json: {error}") from None
    layout = found.get("schema") if isinstance(found, dict) else None
    known = _NAME.fullmatch(layout) if isinstance(layout, str) else None
    if known is None:
        raise UserError(f"{name}: has schema {layout!r}; a run.json has {SCHEMA!r}")
    if int(known[1]) != MAJOR:
        raise UserError(
            f"{name}: has schema {layout!r}, this version reads {SCHEMA!r}: use the faultloop that wrote it"
        )
    try:
        return RunFile.model_validate(found)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{name}: {where}: {fault['msg']}") from None


def dump(run: RunFile) -> str:
    """The text of ``run.json``."""
    return json.dumps(data(run), indent=1, ensure_ascii=True) + "\n"


def data(run: RunFile) -> dict[str, Any]:
    """The same, JSON types only."""
    return run.model_dump(mode="json", by_alias=True, exclude={"steps"} if not run.steps else None)


def published() -> str:
    """The text of docs/run.schema.json."""
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **RunFile.model_json_schema(by_alias=True)}
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    print(published(), end="")
