# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples for a timer and for CI, tried as far as that goes without their servers."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import app

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "docs" / "examples"


@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions.yml", "vendor.github-workflows"), ("gitlab-ci.yml", "vendor.gitlab-ci")]
)
def test_ci_files_are_valid_by_their_schema(name: str, schema: str, tmp_path: Path) -> None:
    def check(path: Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-P", "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
        return subprocess.run(argv, capture_output=True, text=True)

    done = check(EXAMPLES / name)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / name
    wrong.write_text(
        (EXAMPLES / name).read_text().replace("timeout-minutes:", "timeout-hours:").replace("6h", "[]")
    )
    assert check(wrong).returncode != 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_units_are_valid(tmp_path: Path) -> None:
    for name in ("faultloop-nightly.service", "faultloop-nightly.timer"):
        shutil.copy(EXAMPLES / name, tmp_path)

    def check() -> subprocess.CompletedProcess[str]:
        argv = ["systemd-analyze", "verify", "--man=no", "--user", *map(str, sorted(tmp_path.glob("*.*r*")))]
        env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        return subprocess.run(argv, env=env, capture_output=True, text=True)

    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    timer = tmp_path / "faultloop-nightly.timer"
    timer.write_text(timer.read_text().replace("08:00:00", "28:00:00"))
    assert "28:00:00" in check().stderr


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_their_command_lines_are_ours(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = [m for line in lines for m in re.findall(r"faultloop (nightly(?: --?[\w-]+ [^\s;>]+)*)", line)]
    assert found or name.endswith(".timer")
    for words in found:
        done = CliRunner().invoke(app, [*shlex.split(words), "--help"])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_what_is_kept_and_shown_are_files_that_a_night_writes(name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    assert set(re.findall(r"results/\*/(\S+)", text)) == {"night.txt", "night.json", "kcidb.json"}
