"""CPU per request of the two transports for direct HTTP/1.1, alternating, against a server in another process.

python -m bench.transport_bench
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import AsyncIterator
from multiprocessing.connection import Connection

import httpx

from pyroscope_operator.transport.lean import open_lean
from pyroscope_operator.transport.loop import Loop
from pyroscope_operator.transport.plain import open_transport

_CONNECTIONS = 200
_ROUNDS = 15
_REPEATS = 5
_PUSHED = 500_000
_HEADERS = {"User-Agent": "bench", "Accept": "*/*", "Accept-Encoding": "identity"}


class _Server(asyncio.Protocol):
    """Answers GET /N with N bytes, and a POST, once its body came, with none."""

    def __init__(self) -> None:
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, mark, body = self._seen.partition(b"\r\n\r\n")
        _, _, length = head.partition(b"Content-Length: ")
        if mark and len(body) >= int(length.partition(b"\r\n")[0] or 0):
            self._seen = b""
            size = int(head.split(b" ")[1][1:] or 0)
            more = b"Content-Type: application/octet-stream\r\nX-Content-Type-Options: nosniff\r\n"
            self._transport.write(  # type: ignore[attr-defined]
                b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (more, size, bytes(size))
            )


def _serve(port: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "127.0.0.1", 0, backlog=1000)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(forever())


class _Body(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(2):
            yield bytes(_PUSHED // 2)


async def _send(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> None:
    response = await transport.handle_async_request(request)
    async for _ in response.aiter_raw():
        pass
    await response.aclose()


async def _gets(transport: httpx.AsyncBaseTransport, url: str) -> float:
    """Seconds of CPU per GET, of 200 at a time."""
    requests = [httpx.Request("GET", url, headers=_HEADERS) for _ in range(_CONNECTIONS)]
    await asyncio.gather(*(_send(transport, request) for request in requests))
    began = time.process_time()
    for _ in range(_ROUNDS):
        await asyncio.gather(*(_send(transport, request) for request in requests))
    return (time.process_time() - began) / (_ROUNDS * _CONNECTIONS)


async def _posts(transport: httpx.AsyncBaseTransport, url: str) -> float:
    """Seconds of CPU per POST, one after the other."""
    headers = {**_HEADERS, "Host": "bench", "Content-Length": str(_PUSHED)}
    began = time.process_time()
    for _ in range(_CONNECTIONS):
        await _send(transport, httpx.Request("POST", url, headers=headers, stream=_Body()))
    return (time.process_time() - began) / _CONNECTIONS


async def _measure(port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    cases = {"GET 1 kB": (_gets, url + "1000"), "GET 19 kB": (_gets, url + "19000"), "POST 500 kB": (_posts, url + "0")}
    async with open_lean() as lean, open_transport() as aiohttp:
        for name, (measure, where) in cases.items():
            pairs = [(await measure(lean, where), await measure(aiohttp, where)) for _ in range(_REPEATS)]
            ours, theirs = (statistics.median(times) * 1e6 for times in zip(*pairs, strict=True))
            sys.stdout.write(f"{name:12} lean {ours:6.1f} µs, aiohttp {theirs:6.1f} µs of CPU, ratio {ours / theirs:.2f}\n")


def main() -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_measure(ours.recv()))
    server.terminate()


if __name__ == "__main__":
    main()
