# SPDX-License-Identifier: GPL-2.0-or-later
"""A blocking call that its caller can stop waiting for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Attempt(threading.Thread, Generic[_T]):
    """``operation`` in a thread of its own; ``bell`` rings when it ends (when QEMU does, if not before)."""

    def __init__(self, operation: Callable[[], _T], bell: threading.Condition) -> None:
        super().__init__(name="attempt", daemon=True)
        self._operation = operation
        self._bell = bell
        self._values: list[_T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            value = self._operation()
        except BaseException as error:  # noqa: BLE001 - result() raises it again in the caller's thread
            self._settle(error)
        else:
            self._values.append(value)
            self._settle(None)

    def done(self) -> bool:
        return bool(self._values) or self.error is not None

    @property
    def value(self) -> _T:
        return self._values[0]

    def result(self) -> _T:
        if self.error is not None:
            raise self.error
        return self.value

    def _settle(self, error: BaseException | None) -> None:
        with self._bell:
            self.error = error
            self._bell.notify_all()
