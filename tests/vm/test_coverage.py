# SPDX-License-Identifier: GPL-2.0-or-later
"""Coverage on a real kernel: what a path runs is seen, inlined or not, and what it does not run is not."""

from __future__ import annotations

from pathlib import Path

from tests.vm.command import faultloop

PATHS = "anon-reuse,file-mkwrite,hugetlb-reuse,first-touch"


def test_what_the_paths_run_and_only_that(tmp_path: Path) -> None:
    words = ("coverage", "--kernel", "6.1", "--setup", "cortex-a57", "--workloads", PATHS)
    found = faultloop(*words, "--json", results=tmp_path)
    assert found.status == 1, found.stderr
    rows = {(f["function"], f["part"]): f for f in found.run["functions"]}
    ran = {key: {w["path"] for w in row["workloads"]} for key, row in rows.items() if row["workloads"]}
    # wp_page_reuse() is declared inline: no kprobe is let into it; finish_mkwrite_fault() has it inlined as well.
    assert ran["wp_page_reuse", ""] == {"anon-reuse", "file-mkwrite"}
    assert ran["set_huge_ptep_writable", ""] == {"hugetlb-reuse"}
    assert rows["change_pte_range", ""]["state"] == "NOT COVERED"
    filled = rows["do_anonymous_page", ""]
    assert (filled["state"], filled["ran_in"]) == ("not run", ["first-touch"])
    assert rows["__wp_page_copy_user", ""]["why"].startswith("sets the access flag alone")
    assert found.run["doubts"] == []
