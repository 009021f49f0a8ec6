"""Requests that come together are scored together.

The network takes as long for one row as for a whole tile of them. While a tile is under way, the requests that arrive
wait, and go through the network at once when it is free: no request waits for others that may never come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.table.layout import EncodedTable

Floats = NDArray[np.float64]


@dataclass(eq=False)
class _Job:
    rows: EncodedTable
    scores: asyncio.Future[Floats] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class MicroBatcher:
    """Scores the rows of many requests, one batch after the other, in a thread of its own.

    Parameters
    ----------
    score : callable
        The rows of several requests to their scores; a row's score must not depend on its neighbours.
    most_rows : int
        Rows from which no more requests join a batch.
    observe : callable or None
        Told the requests and rows of each batch.
    """

    def __init__(
        self,
        score: Callable[[Sequence[EncodedTable]], list[Floats]],
        most_rows: int,
        observe: Callable[[int, int], None] | None = None,
    ) -> None:
        self._score, self._most_rows, self._observe = score, most_rows, observe
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take requests, in the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take no more, and wait for the batch that is under way."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def score(self, rows: EncodedTable) -> Floats:
        """The scores of some rows, in their order."""
        job = _Job(rows)
        self._waiting.put_nowait(job)
        return await job.scores

    async def _run(self) -> None:
        while True:
            jobs = [job for job in await self._next() if not job.scores.cancelled()]  # whose client still waits
            if jobs:
                await self._scored(jobs)

    async def _next(self) -> list[_Job]:
        jobs = [await self._waiting.get()]
        n_rows = len(jobs[0].rows)
        while n_rows < self._most_rows and not self._waiting.empty():
            jobs.append(self._waiting.get_nowait())
            n_rows += len(jobs[-1].rows)
        return jobs

    async def _scored(self, jobs: list[_Job]) -> None:
        tables = [job.rows for job in jobs]
        if self._observe is not None:
            self._observe(len(jobs), sum(map(len, tables)))
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._score, tables)
        except Exception as error:  # whatever it is, the server goes on, and every client is told
            for job in jobs:
                if not job.scores.cancelled():
                    job.scores.set_exception(error)
            return
        for job, scores in zip(jobs, found, strict=True):
            if not job.scores.cancelled():
                job.scores.set_result(scores)
