"""The operator's own HTTP server."""

from __future__ import annotations

import aiohttp
import pytest
from web_builder import nothing

from pyroscope_operator.errors import SettingsError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.web.explain import Asked
from pyroscope_operator.web.server import Pages, serve


async def test_pages() -> None:
    waiting = ["the first list"]
    pages = Pages(Metrics(), lambda: waiting[0], nothing)
    async with serve("127.0.0.1:0", pages) as address, aiohttp.ClientSession(f"http://{address}") as session:

        async def get(path: str) -> tuple[int, str, str]:
            async with session.get(path) as answer:
                return answer.status, answer.content_type, await answer.text()

        assert await get("/healthz") == (200, "text/plain", "ok\n")
        assert await get("/readyz") == (503, "text/plain", "the first list\n")
        waiting[0] = ""
        assert await get("/readyz") == (200, "text/plain", "ok\n")
        assert await get("/api/v1/targets") == (200, "application/json", '{"objects": [], "writes": [], "delivery": []}')
        status, kind, text = await get("/metrics")
        assert (status, kind) == (200, "text/plain")
        assert "# TYPE pyroscope_fanout_latency histogram" in text
        assert (await get("/nothing"))[0] == 404


@pytest.mark.parametrize("listen", ["127.0.0.1:{}", "256.1.1.1:1", "127.0.0.1:99999"])
async def test_where_nobody_can_listen(listen: str) -> None:
    pages = Pages(Metrics(), lambda: "", nothing)
    async with serve("127.0.0.1:0", pages) as taken:
        with pytest.raises(SettingsError) as caught:
            async with serve(listen.format(taken.rpartition(":")[2]), pages):
                pass
        assert "--listen" in caught.value.message


async def test_explain() -> None:
    waiting, asked = ["the lease"], list[Asked]()

    def explain(question: Asked) -> dict[str, object]:
        asked.append(question)
        return {"scraped": True}

    pages = Pages(Metrics(), lambda: waiting[0], dict, explain)
    async with serve("127.0.0.1:0", pages) as address, aiohttp.ClientSession(f"http://{address}") as session:

        async def get(query: str) -> tuple[int, dict[str, object]]:
            async with session.get(f"/api/v1/explain?{query}") as answer:
                return answer.status, await answer.json()

        assert await get("namespace=a&pod=b") == (503, {"error": "it scrapes nothing yet: it waits for the lease"})
        waiting[0] = ""
        assert await get("namespace=a&pod=b") == (200, {"scraped": True})
        assert await get("address=a:1&all=true") == (200, {"scraped": True})
        assert asked == [Asked("a", "b", "", False), Asked("", "", "a:1", True)]
        for wrong in ("", "pod=b", "namespace=a", "namespace=a&pod=b&address=c:1", f"namespace=a&pod={'b' * 600}"):
            status, said = await get(wrong)
            assert (status, "error" in said, "bbb" in str(said)) == (400, True, False)
        assert len(asked) == 2
