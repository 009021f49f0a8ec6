"""Reading, scoring and writing at the same time, in order, and never more than a few chunks of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_PATIENCE = 0.1  # seconds after which a thread looks whether it is still wanted


def ahead(items: Iterable[Item]) -> Generator[Item]:
    """The same items, the next one made while the last one is used.

    Whoever waits for standard input cannot be told to stop: the thread is one that the process doesn't wait for.

    Examples
    --------
    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    queue: Queue[tuple[str, object]] = Queue(1)
    unwanted = Event()

    def put(kind: str, value: object) -> None:
        while not unwanted.is_set():
            try:
                return queue.put((kind, value), timeout=_PATIENCE)
            except Full:
                continue
        return None

    def fill() -> None:
        try:
            for item in items:
                put("item", item)
                if unwanted.is_set():
                    return
            put("end", None)
        except BaseException as error:  # raised again where the items are used
            put("error", error)

    Thread(target=fill, daemon=True).start()
    try:
        while True:
            try:
                kind, value = queue.get(timeout=_PATIENCE)
            except Empty:
                continue
            if kind == "error":
                raise value  # type: ignore[misc]
            if kind == "end":
                return
            yield value  # type: ignore[misc]
    finally:
        unwanted.set()


def in_order(function: Callable[[Item], Result], items: Generator[Item], n_at_once: int = 2) -> Generator[Result]:
    """The function of each item, several of them worked on at the same time.

    An error, of an item or in making the next one, is raised after the results of what came before it. The items are
    closed with it.

    Examples
    --------
    >>> list(in_order(abs, ahead([-1, 2, -3])))
    [1, 2, 3]
    """
    waiting: deque[Future[Result]] = deque()
    with closing(items), ThreadPoolExecutor(n_at_once) as pool:
        try:
            while True:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except Exception:
                    yield from _results(waiting)
                    raise
                waiting.append(pool.submit(function, item))
                if len(waiting) > n_at_once:
                    yield waiting.popleft().result()
            yield from _results(waiting)
        finally:
            for future in waiting:
                future.cancel()


def _results(waiting: deque[Future[Result]]) -> Iterator[Result]:
    while waiting:
        yield waiting.popleft().result()
