"""A target that serves what no Go process would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Crafted(ThreadingHTTPServer):
    """Serves `body()` at every path; `times` says when, by path, in Unix seconds."""

    daemon_threads = True

    def __init__(self, host: str, body: Callable[[], bytes]) -> None:
        crafted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                crafted.times.setdefault(self.path, []).append(time.time())
                made = body()
                self.send_response(200)
                self.send_header("Content-Length", str(len(made)))
                self.end_headers()
                self.wfile.write(made)

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__((host, 0), Handler)
        self.times: dict[str, list[float]] = {}
        self.address = f"{host}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def served(self) -> int:
        return sum(map(len, self.times.values()))

    def close(self) -> None:
        self.shutdown()
        self.server_close()
