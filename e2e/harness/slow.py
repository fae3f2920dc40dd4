"""An API server that answers when a test lets it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

_MOST_SECONDS = 60.0
"""A request is held back no longer than this."""
_IDLE_SECONDS = 3.0
"""A watch in which nothing comes is ended, or those of clients that are gone would stay."""
_OF_ONE_HOP = {"connection", "transfer-encoding", "host", "content-length", "content-encoding"}


class SlowApiServer:
    """Passes on what it is asked, but for requests of `path`: they wait until `let_go`."""

    def __init__(self, api: httpx.Client, path: str) -> None:
        """`api` is the real one; whoever asks here has its rights."""
        self._free = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(api, path))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def let_go(self) -> None:
        self._free.set()

    def stop(self) -> None:
        self.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kubeconfig(self, folder: Path) -> Path:
        made = folder / "kubeconfig-slow"
        cluster, user = f"{{name: a, cluster: {{server: '{self.url}'}}}}", "{name: a, user: {}}"
        context = "{name: a, context: {cluster: a, user: a}}"
        made.write_text(
            f"apiVersion: v1\nkind: Config\nclusters: [{cluster}]\nusers: [{user}]\ncontexts: [{context}]\ncurrent-context: a\n"
        )
        return made

    def _handler(self, api: httpx.Client, path: str) -> type[BaseHTTPRequestHandler]:
        free = self._free

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] == path:
                    free.wait(_MOST_SECONDS)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                sent = {name: text for name, text in self.headers.items() if name.lower() not in _OF_ONE_HOP}
                with contextlib.suppress(OSError, httpx.HTTPError):  # one of the two has gone away
                    self._pass_on(api.stream(self.command, self.path, headers=sent, content=body, timeout=_IDLE_SECONDS))

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of http.server

            def _pass_on(self, answer: contextlib.AbstractContextManager[httpx.Response]) -> None:
                with answer as response:
                    self.send_response(response.status_code)
                    for name, text in response.headers.items():
                        if name.lower() not in _OF_ONE_HOP:
                            self.send_header(name, text)
                    self.end_headers()
                    for chunk in response.iter_bytes():
                        self.wfile.write(chunk)

            def log_message(self, *_: object) -> None: ...

        return Handler


@contextlib.contextmanager
def slow_api_server(api: httpx.Client, path: str) -> Iterator[SlowApiServer]:
    server = SlowApiServer(api, path)
    try:
        yield server
    finally:
        server.stop()
