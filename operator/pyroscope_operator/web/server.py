"""The operator's own HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from pyroscope_operator.engine.snapshot import Snapshot
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.web.explain import Asked
from pyroscope_operator.web.targets import TargetPages


@dataclass(frozen=True, slots=True)
class Pages:
    """What the server tells, asked anew at each request."""

    metrics: Metrics
    ready: Callable[[], str]
    """Empty when ready, else what is being waited for."""
    look: Callable[[], Awaitable[Snapshot]]
    """All that is known of objects, targets and delivery."""
    explain: Callable[[Asked], dict[str, Any]] = lambda _: {}
    """Why a pod is or isn't scraped, fit for JSON."""


def application(pages: Pages) -> web.Application:
    """The routes:

    - `/healthz`: 200 as long as the event loop answers
    - `/readyz`: 200 once everything is listed and scraping has begun, else 503 with the reason
    - `/metrics`: Prometheus text format
    - `/targets`: objects, targets, scrapes, drops and delivery, for people
    - `/api/v1/targets`: the same as JSON
    - `/api/v1/explain?namespace=…&pod=…`: why a pod is or isn't scraped, by each object, as JSON; also `?address=…` of a static
      target, and `&all=true` for all objects; 503 with the reason while nothing is scraped yet
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting_for = pages.ready()
        return web.Response(text=f"{waiting_for or 'ok'}\n", status=503 if waiting_for else 200)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(pages.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    targets = TargetPages(pages.look, pages.ready)

    async def explain(request: web.Request) -> web.Response:
        if waiting_for := pages.ready():
            return web.json_response({"error": f"it scrapes nothing yet: it waits for {waiting_for}"}, status=503)
        try:
            asked = Asked.from_query(request.query)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(pages.explain(asked))

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/targets", targets.page)
    app.router.add_get("/api/v1/targets", targets.data)
    app.router.add_get("/api/v1/explain", explain)
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
