"""The composition root: wires settings, scraping, pushing and a source of objects together."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

from pyroscope_operator import __version__, folders
from pyroscope_operator.api import duration, size
from pyroscope_operator.engine import refusal, snapshot
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.explain import explain_address, explain_pod
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import PERIOD, Secrets
from pyroscope_operator.engine.store import Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.engine.writes import Writes
from pyroscope_operator.folders import Folders
from pyroscope_operator.garbage import frozen
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.pprof import core
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.push.memory import QueueMemory
from pyroscope_operator.push.writer import SHUTDOWN
from pyroscope_operator.scrape.fetch import Fetcher
from pyroscope_operator.scrape.pool import ScrapePool
from pyroscope_operator.scrape.room import Room
from pyroscope_operator.scrape.scraper import Context
from pyroscope_operator.scrape.workers import Workers
from pyroscope_operator.settings import Settings
from pyroscope_operator.standalone import Files
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.destination import destinations
from pyroscope_operator.transport.loop import closed, probed
from pyroscope_operator.web.explain import Asked
from pyroscope_operator.web.server import Pages, serve

_LOG = logging.getLogger(__name__)
_WORKERS = 2
"""Threads for large profiles."""
_SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that works on a profile lets the event loop go on; Python's own 5 ms are for each of
the many times that the loop has to ask for it."""


class Source(Protocol):
    """Where objects come from: the cluster, or files."""

    waiting_for: str

    async def run(self) -> None: ...


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises OperatorErrors, in groups."""
    sys.setswitchinterval(_SWITCH_INTERVAL)
    if not core.IS_NATIVE:
        _LOG.warning("the native core is missing: profiles are worked on in plain Python, which takes many times the CPU")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, partial(_on_signal, stop))
    metrics = Metrics()
    metrics.count_tasks("main", loop)
    _show_settings(settings, metrics)
    async with open_engine(settings, metrics) as engine:
        source = _source(settings, engine, metrics)
        pages = Pages(metrics, lambda: source.waiting_for, lambda: snapshot.take(engine), partial(_explain, engine))
        async with serve(settings.listen, pages) as address:
            _LOG.info("started", extra={"version": __version__, "listen": address, "standalone": settings.standalone})
            if settings.default is None:
                _LOG.info("no default write: only objects that set forwardTo are scraped")
            try:
                with frozen(), probed(metrics.stalls.observe):
                    await _run_until(stop, source, engine.fanout, duration.parse(settings.shutdown_grace))
            finally:
                _tell_the_end(metrics)
    await closed()


def _show_settings(settings: Settings, metrics: Metrics) -> None:
    """What dashboards and alerts compare with."""
    metrics.info.labels(__version__, "standalone" if settings.standalone else "cluster").set(1)
    for name in ("queue_size", "queue_memory", "body_memory", "baseline_memory"):
        metrics.setting_bytes.labels(name.replace("_", "-")).set(size.parse(getattr(settings, name)))


def _explain(engine: Engine, asked: Asked) -> dict[str, Any]:
    if asked.address:
        return explain_address(engine, asked.address, time.time(), everything=asked.everything)
    return explain_pod(engine, ObjectRef(asked.namespace, asked.pod), time.time(), everything=asked.everything)


def _tell_the_end(metrics: Metrics) -> None:
    """What became of the profiles of this process, in one line; a warning if some were lost because it ended."""
    pushed, lost = metrics.delivered()
    level = logging.WARNING if lost.get(SHUTDOWN) else logging.INFO
    _LOG.log(level, "stopped: profiles pushed: %d, lost: %d", pushed, sum(lost.values()), extra={"pushed": pushed, "lost": lost})


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        _LOG.warning("second signal: ending at once, what is queued is lost")
        os._exit(1)
    stop.set()


async def _run_until(stop: asyncio.Event, source: Source, fanout: Fanout, grace: float) -> None:
    """Run until `stop`: then no more scrapes, and what is queued is pushed within `grace` seconds."""
    async with asyncio.TaskGroup() as group:
        group.create_task(fanout.run(), name="push")
        try:
            await _cancelled_by(stop, source.run)
        finally:
            await fanout.drain(grace)


async def _cancelled_by(stop: asyncio.Event, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work(), name="source")
        await stop.wait()
        _LOG.info("stopping")
        task.cancel()


@asynccontextmanager
async def open_engine(settings: Settings, metrics: Metrics) -> AsyncIterator[Engine]:
    """An engine with its connections, which are closed at the end."""
    policy = Policy(
        privileged_namespaces=None
        if settings.standalone
        else frozenset(settings.privileged_namespaces or [settings.own_namespace]),
        body_limit=size.parse(settings.body_size_limit),
        cross_namespace_credentials=settings.cross_namespace_credentials,
        default_write=settings.default,
        watched_namespaces=frozenset(settings.watch_namespaces or ()) or None,
        target_limit=settings.target_limit,
        min_interval=duration.parse(settings.min_interval),
    )
    book = DeliveryBook()
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="profile") as executor:
        policy_of_urls = destinations(settings.allow_destinations, settings.deny_destinations, by_default=not settings.standalone)
        async with open_clients(metrics, destinations=policy_of_urls, max_connections=settings.max_connections) as clients:
            fanout = Fanout(
                clients.of,
                metrics,
                book,
                default=settings.default or FLAGS,
                queue_bytes=size.parse(settings.queue_size),
                memory=QueueMemory(size.parse(settings.queue_memory)),
                grace=duration.parse(settings.shutdown_grace),
            )
            bodies = Room(size.parse(settings.body_memory), "--body-memory")
            baselines = Room(size.parse(settings.baseline_memory), "--baseline-memory")
            metrics.body_memory.set_function(lambda: bodies.held)
            metrics.baseline_memory.set_function(lambda: baselines.held)
            workers = Workers(executor, _WORKERS)
            store = Store(metrics)
            secrets = Secrets(store.changed, metrics, period=folders.PERIOD if settings.standalone else PERIOD)
            context = Context(
                Fetcher(clients.of), fanout, metrics, bodies, baselines, workers, time.time, refusal.reread(store, secrets)
            )
            pool = ScrapePool(context)
            writes = Writes(store, fanout, secrets, settings.endpoint())
            reconciler = Reconciler(store, pool, book, policy, metrics, secrets=secrets, writes=writes)
            yield Engine(store, pool, reconciler, fanout, book, secrets)


def _source(settings: Settings, engine: Engine, metrics: Metrics) -> Source:
    if settings.standalone:
        return Files(engine, settings.files, Folders(settings.secrets_dir, settings.configmaps_dir))
    # Here only, because kopf and kubernetes take 20 MB.
    from pyroscope_operator.controller.operator import Controller, ControllerSettings  # noqa: PLC0415

    controller = ControllerSettings(
        lease=settings.lease,
        identity=settings.identity,
        lease_duration=duration.parse(settings.lease_duration),
        sweep_period=duration.parse(settings.sweep_period),
        status_interval=duration.parse(settings.status_interval),
        namespaces=tuple(settings.watch_namespaces or ()),
    )
    return Controller(engine, controller, metrics)
