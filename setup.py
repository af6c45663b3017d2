# SPDX-License-Identifier: GPL-2.0-or-later
"""What pyproject.toml cannot say: the data files of the checkout go into the wheel, as ``harness/_data``.

Nothing is left in the checkout by a build: what an older one left there would get into the next wheel.
"""

import shutil
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

DATA = (
    "README.md",
    "docs",
    "guest-tests",
    "kconfigs",
    "patches",
    "kernels.yaml",
    "setups.yaml",
    "tools/packages.txt",
)
"""What `harness.layout` looks for; in git it lies where people look for it."""

_LEFT_BY_HAND = shutil.ignore_patterns(
    ".*", "*.o", "*.ko", "*.mod", "*.mod.c", "*.order", "*.symvers", "__pycache__"
)


class BuildPy(build_py):
    """The packages, and the data files beside them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        data = Path(self.build_lib, "harness", "_data")
        for name in DATA:
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copyfile if Path(name).is_file() else _tree
            copy(name, data / name)


def _tree(source: str, target: Path) -> None:
    shutil.copytree(source, target, ignore=_LEFT_BY_HAND)


with tempfile.TemporaryDirectory(prefix="faultloop-wheel-") as work:
    setup(
        cmdclass={"build_py": BuildPy},
        options={"build": {"build_base": work}, "egg_info": {"egg_base": work}},
    )
