"""Pods that come, run and go, so many a second."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from bench.pods import BenchPod, PodClient

LIFE = 5.0
"""Seconds from a pod's creation to its deletion."""


class Churn:
    """One thread with a client of its own; several share the work. `done` counts whole lives."""

    def __init__(self, client: PodClient, rate: float, pod: Callable[[int], BenchPod], name: str) -> None:
        """`rate`: pods a second of this thread; `pod`: makes one of a number."""
        self._client, self._rate, self._pod = client, rate, pod
        self._ended = threading.Event()
        self._problem: Exception | None = None
        self.done = 0
        self._thread = threading.Thread(target=self._try, name=name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends with no pod left. Raises what went wrong."""
        self._ended.set()
        self._thread.join()
        if self._problem:
            raise self._problem

    def _try(self) -> None:
        try:
            self._run()
        except Exception as error:  # for whoever stops this
            self._problem = error

    def _run(self) -> None:
        living: deque[tuple[float, BenchPod]] = deque()
        began, number = time.monotonic(), 0
        while not self._ended.is_set():
            pod = self._pod(number)
            self._client.create(pod)
            self._client.run(pod)
            living.append((time.monotonic() + LIFE, pod))
            while living and living[0][0] <= time.monotonic():
                self._client.delete(living.popleft()[1])
                self.done += 1
            number += 1
            self._ended.wait(max(0.0, began + number / self._rate - time.monotonic()))
        for _, pod in living:
            self._client.delete(pod)
