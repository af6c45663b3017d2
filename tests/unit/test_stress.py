# SPDX-License-Identifier: GPL-2.0-or-later
"""What fails is shrunk: to something that still fails, in few tries."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from harness.jobs.stress import MAX_TRIES, shrink


@given(st.sets(st.integers(0, 99), min_size=1, max_size=4))
def test_what_is_needed_stays_and_the_rest_goes(needed: set[int]) -> None:
    assert set(shrink(lambda only: needed <= set(only), range(100), tries=1000)) == needed


@given(st.sets(st.integers(0, 399), min_size=1, max_size=6), st.integers(1, MAX_TRIES))
def test_it_fails_still_and_takes_no_more_tries_than_it_may(needed: set[int], tries: int) -> None:
    asked: list[Sequence[int]] = []

    def fails(only: Sequence[int]) -> bool:
        asked.append(only)
        return needed <= set(only)

    kept = shrink(fails, range(400), tries=tries)
    assert needed <= set(kept)
    assert len(asked) <= tries
    assert kept == sorted(kept)


def test_what_fails_by_chance_alone_stays_as_it_was() -> None:
    assert shrink(lambda only: False, range(7)) == list(range(7))
