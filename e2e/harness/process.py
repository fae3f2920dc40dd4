"""A child process that is stopped by its own pid and whose output is kept in a file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from e2e.harness.wait import Hopeless, eventually

_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
"""Everything else that people have in their environment (KUBECONFIG, PYROSCOPE_URL, …) stays out."""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """A running process."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self.stdout, self.stderr = folder / f"{name}.out", folder / f"{name}.log"
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        with self.stdout.open("xb") as out, self.stderr.open("xb") as err:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**inherited, **(environment or {})},
                process_group=0,  # Ctrl-C is for whoever started it, who then stops it in order
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def check_running(self) -> None:
        if not self.running:
            raise Hopeless(f"{self.name} ended with {self.process.returncode}: {self.log_tail()}")

    def announcement(self) -> dict[str, Any]:
        """The JSON line that our own programs print once they listen."""

        def line() -> str:
            self.check_running()
            return self.stdout.read_text().partition("\n")[0]

        parsed: dict[str, Any] = json.loads(eventually(line, f"{self.name} listens", 30))
        return parsed

    def log_tail(self, size: int = 3000) -> str:
        return self.stderr.read_text(errors="replace")[-size:]

    def stop(self, timeout: float = 20.0, sig: int = signal.SIGTERM) -> int:
        """Signal it and wait; after `timeout` seconds it is killed and that is an error."""
        if self.running:
            self.process.send_signal(sig)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {timeout:g} s of signal {sig}: {self.log_tail()}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
