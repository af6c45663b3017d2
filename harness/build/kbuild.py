# SPDX-License-Identifier: GPL-2.0-or-later
"""One kernel to build: what goes into it, and make in the sandbox at the constant paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import disk
from harness.build import compile_log, kconfig, toolchain
from harness.build.cache import Cache, digest
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Bind, CommandFailed, Sandbox
from harness.build.variant_tree import SOURCE, Touched
from harness.errors import BuildError, InfrastructureError
from harness.model import Kernel

RECIPE = 1
"""Part of every key: raise it when a change in how kernels are built makes old entries wrong."""
OUT = "/build/out"
"""Where objects lie in the sandbox."""
ENVIRONMENT = {
    "ARCH": "arm64",
    "CROSS_COMPILE": toolchain.CROSS,
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "faultloop",
    "KBUILD_BUILD_HOST": "faultloop",
    "KBUILD_BUILD_VERSION": "1",
}

OnOutput = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes into every step of a build."""

    kernel: Kernel
    options: tuple[kconfig.Option, ...]
    tools: Mapping[str, str]
    cache: Cache
    sandbox: Sandbox
    jobs: int
    on_output: OnOutput

    def key(self, touched: Touched | None, *how: str) -> str:
        """Cache key of the kernel with these files changed."""
        changes = touched.identity() if touched else []
        config = kconfig.merged(self.options)
        recipe = ("kernel", RECIPE, *self.sandbox.mark, *how)
        return digest(*recipe, self.kernel.digest, config, dict(self.tools), changes)


def make(
    plan: Plan, targets: Sequence[str], binds: Sequence[Bind], log: Path, env: Mapping[str, str], *, what: str
) -> list[str]:
    """Run make at the constant paths; its lines. BuildError with the compiler's lines when it fails.

    ``what`` follows "cannot" in an error. LimitExceeded and InfrastructureError as of the sandbox.
    """
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        plan.on_output(line)

    head = f"Linux {plan.kernel.version} ({plan.kernel.name}): cannot {what} kernel"
    argv = ["make", "-C", SOURCE, f"O={OUT}", f"-j{plan.jobs}", "--output-sync=target", *targets]
    try:
        plan.sandbox.run(argv, binds=binds, env={**ENVIRONMENT, **env}, cwd=OUT, on_output=on_line, log=log)
    except LimitExceeded as error:
        error.message = f"{head}: {error.message}"
        raise
    except CommandFailed as error:
        if any(disk.is_full(line) for line in lines):
            raise disk.full(plan.cache.root, "while a kernel was built") from error
        if compile_log.killed(lines):
            raise InfrastructureError(f"{head}: {compile_log.KILLED}", detail="\n".join(lines[-20:])) from error
        raise BuildError(head, detail=compile_log.errors(lines)) from error
    return lines
