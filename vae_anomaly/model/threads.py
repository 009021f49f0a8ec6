"""How many cores torch uses, set for a while and given back, whoever else does so at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, final

import torch
from threadpoolctl import ThreadpoolController


@final
class ThreadLimit:
    """A limit on the cores of the calling thread.

    torch keeps one number for each thread, and one for threads to come. If each of two threads put back the number that
    it found, the second would find the limit of the first, and leave that behind for good. So the number to put back is
    noted by whoever comes first.

    While there is a limit, NumPy's matrix products stay on the core of the thread that asks for them.
    """

    def __init__(self) -> None:
        self._lock, self._holders, self._default = threading.Lock(), 0, 1
        self._numpy: Any = None
        self._own = threading.local()

    @contextmanager
    def __call__(self, n_threads: int) -> Iterator[int]:
        """Set the limit; yields what it was before.

        Examples
        --------
        >>> before = torch.get_num_threads()
        >>> with at_most(1) as usual:
        ...     usual == before, torch.get_num_threads()
        (True, 1)
        >>> torch.get_num_threads() == before
        True
        """
        with self._lock:
            if self._holders == 0:
                self._default = torch.get_num_threads()
                self._numpy = libraries().limit(limits=1, user_api="blas")
            self._holders += 1
        outer: list[int] = self._own.__dict__.setdefault("limits", [])
        before = outer[-1] if outer else self._default
        outer.append(n_threads)
        torch.set_num_threads(n_threads)
        try:
            yield before
        finally:
            outer.pop()
            torch.set_num_threads(before)
            with self._lock:
                self._holders -= 1
                if self._holders == 0:
                    self._numpy.restore_original_limits()


@cache
def libraries() -> ThreadpoolController:
    """Those that this process has loaded, NumPy's among them; finding them takes some milliseconds."""
    return ThreadpoolController()


at_most: Final = ThreadLimit()
