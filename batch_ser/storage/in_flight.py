"""Requests, many at a time, with their results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(calls: Iterable[T | Callable[[], T]], at_once: int) -> Iterator[T]:
    """The results of calls that `at_once` threads make, in their order, as they are used.

    What is no function is a result already. No more than twice as many calls are begun before a
    result is taken, and none once the iteration is closed.
    """
    waiting: deque[Future[T] | T] = deque()
    with ThreadPoolExecutor(at_once) as threads:
        try:
            for call in calls:
                if not callable(call) and not waiting:
                    yield call
                    continue
                waiting.append(threads.submit(call) if callable(call) else call)
                if len(waiting) >= 2 * at_once:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            for each in waiting:
                if isinstance(each, Future):
                    each.cancel()


def _result(call: Future[T] | T) -> T:
    return call.result() if isinstance(call, Future) else call
