"""The operator's own HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.web.targets import TargetPages


@dataclass(frozen=True, slots=True)
class Pages:
    """What the server tells, asked anew at each request."""

    metrics: Metrics
    ready: Callable[[], str]
    """Empty when ready, else what is being waited for."""
    look: Callable[[], Awaitable[Snapshot]]
    """All that is known of objects, targets and delivery."""


def application(pages: Pages) -> web.Application:
    """The routes:

    - `/healthz`: 200 as long as the event loop answers
    - `/readyz`: 200 once everything is listed and scraping has begun, else 503 with the reason
    - `/metrics`: Prometheus text format
    - `/targets`: objects, targets, scrapes, drops and delivery, for people
    - `/api/v1/targets`: the same as JSON
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting_for = pages.ready()
        return web.Response(text=f"{waiting_for or 'ok'}\n", status=503 if waiting_for else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(pages.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    targets = TargetPages(pages.look, pages.ready)
    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/targets", targets.page)
    app.router.add_get("/api/v1/targets", targets.data)
    return app


@asynccontextmanager
async def serve(listen: str, pages: Pages) -> AsyncIterator[str]:
    """Serve on `[host]:port` while the context is open; yields the real address (port 0 picks one).

    Raises SettingsError when the address can't be listened on.
    """
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(application(pages), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host.strip("[]") or None, int(port))
        try:
            await site.start()
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "no such port"
            raise SettingsError(f"--listen {listen}: {why or 'cannot listen there'}") from error
        yield f"{host or '0.0.0.0'}:{runner.addresses[0][1]}"  # noqa: S104 - an empty host asks for all addresses
    finally:
        await runner.cleanup()
