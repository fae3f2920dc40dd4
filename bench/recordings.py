"""What real processes answered to a profiler, byte for byte: made once, kept in .cache/bench/recordings.

For each process and profile a folder with the answers in order; each is a whole HTTP/1.1 response, in the chunks that
Go sent it in.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import RecordedSeries
from bench.load import Load
from bench.say import say
from e2e.harness.build import CACHE
from e2e.harness.controlplane import ADMIN_TOKEN, ControlPlane
from e2e.harness.parts import DemoApp
from e2e.harness.process import free_port

FOLDER = CACHE / "bench/recordings"
PROFILES = ("profile", "allocs", "mutex", "block", "goroutine")
"""Last part of their paths; the first one is that of the CPU."""
APPS = ("kube-apiserver", "etcd", "demoapp")
SNAPSHOTS = 48
_VERSION = 1
"""Of how they are made: recordings of another one are made anew."""
_WARM_UP = 5.0
"""Seconds of load before the first answer."""
_CPU_SECONDS = 2
_LIMIT = 60.0
"""Seconds for one answer."""


def bodies(app: str, profile: str, folder: Path = FOLDER) -> Sequence[bytes]:
    """The profiles themselves, in order."""
    return [body(path.read_bytes()) for path in sorted((folder / app / profile).glob("*.http"))]


def body(answer: bytes) -> bytes:
    """Of a whole HTTP response. Raises ValueError for one that is cut short or no success."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    status, *lines = head.lower().split(b"\r\n")
    if b" 200 " not in status + b" ":
        raise ValueError(f"not a success: {status.decode(errors='replace')}")
    if b"transfer-encoding: chunked" in lines:
        return b"".join(_chunks(rest))
    length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), -1)
    if length != len(rest):
        raise ValueError(f"{len(rest)} bytes of {length}")
    return rest


def _chunks(rest: bytes) -> Iterator[bytes]:
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        if rest[length : length + 2] != b"\r\n":
            raise ValueError("cut short")
        if not length:
            return
        yield rest[:length]
        rest = rest[length + 2 :]


def kept(answer: bytes) -> bytes:
    """The answer as it is on a connection that is kept."""
    head, separator, rest = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join(lines) + separator + rest


def ensure(folder: Path = FOLDER, snapshots: int = SNAPSHOTS) -> Sequence[RecordedSeries]:
    """Make them where there are none yet; takes about two minutes then."""
    index = folder / "index.json"
    if index.exists():
        found = json.loads(index.read_text())
        if found["version"] == _VERSION and found["snapshots"] >= snapshots:
            return [RecordedSeries(**one) for one in found["series"]]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="bench-recordings-") as name:
        _record(Path(name), folder, snapshots)
    series = [_series(folder, app, profile) for app in APPS for profile in PROFILES]
    about = {"version": _VERSION, "snapshots": snapshots, "series": [asdict(one) for one in series]}
    index.write_text(json.dumps(about, indent=1))  # last: what is incomplete has none
    return series


def _series(folder: Path, app: str, profile: str) -> RecordedSeries:
    found = bodies(app, profile, folder)
    return RecordedSeries(app, profile, len(found), len(found[-1]), len(gzip.decompress(found[-1])))


def _record(scratch: Path, folder: Path, snapshots: int) -> None:
    plane = ControlPlane(scratch / "plane", profiled=True, contention=False)
    try:
        app = DemoApp("demoapp", scratch, "127.0.0.1", free_port(), record=False)
        load = Load(plane)
        try:
            say(f"recording {snapshots} profiles of each kind; {_WARM_UP:.0f} s of load first")
            time.sleep(_WARM_UP)
            record(
                {"kube-apiserver": secured(plane), "etcd": plain(plane.etcd_port), "demoapp": plain(app.port)},
                folder,
                snapshots,
            )
        finally:
            load.stop()
            app.stop()
    finally:
        plane.stop()


Ask = Callable[[str], bytes]
"""Sends a GET for a path; returns the whole response."""


def record(apps: Mapping[str, Ask], folder: Path, snapshots: int, cpu_seconds: int = _CPU_SECONDS) -> None:
    """Into folders in `folder`; all processes at the same time, as most of it is waiting for their CPU profiles."""
    problems: list[Exception] = []

    def run(app: str, ask: Ask) -> None:
        try:
            for number in range(snapshots):
                if number % 16 == 15 and app == APPS[0]:
                    say(f"  {number + 1} of {snapshots}")
                for profile in PROFILES:
                    _keep(ask, profile, cpu_seconds, folder / app / profile / f"{number:03}.http")
        except Exception as error:  # for the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=run, args=one) for one in apps.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def _keep(ask: Ask, profile: str, cpu_seconds: int, path: Path) -> None:
    answer = ask(f"/debug/pprof/{profile}" + (f"?seconds={cpu_seconds}" if profile == "profile" else ""))
    body(answer)  # whether it is whole
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(kept(answer))


def secured(plane: ControlPlane) -> Ask:
    """Asks the API server, as its admin."""
    context = ssl.create_default_context(cafile=str(plane.folder / "certs/apiserver.crt"))

    def ask(path: str) -> bytes:
        raw = socket.create_connection(("127.0.0.1", plane.port), _LIMIT)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as secured:
            return _exchange(secured, path, f"Authorization: Bearer {ADMIN_TOKEN}\r\n")

    return ask


def plain(port: int) -> Ask:
    """Asks a process that anybody may ask."""

    def ask(path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", port), _LIMIT) as plain:
            return _exchange(plain, path)

    return ask


def _exchange(connection: socket.socket, path: str, header: str = "") -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}Connection: close\r\n\r\n".encode())
    received = bytearray()
    while part := connection.recv(1 << 16):
        received += part
    return bytes(received)


if __name__ == "__main__":
    for one in ensure():
        sizes = f"{one.packed / 1e3:7.1f} kB gzip, {one.raw / 1e3:7.1f} kB raw"
        print(f"{one.app:15} {one.profile:10} {one.snapshots:3} answers, {sizes}")
