"""The parts around the control plane: demo apps, hostile targets, gate, proxies, receiver, operator."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from e2e.harness.build import BIN
from e2e.harness.process import Child, free_port
from e2e.harness.wait import eventually

# One for all: making a client takes tens of milliseconds. Nothing is kept open, for the other side may be a new process.
_HTTP = httpx.Client(trust_env=False, verify=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))

_OPERATORS = "127.0.1.1"
"""Where operators listen: no connection that anybody opens takes a port of this address before the operator does."""


class DemoApp(Child):
    """A real Go process with every profile type; it records what it serves and logs who asked."""

    def __init__(
        self,
        name: str,
        folder: Path,
        ip: str,
        port: int = 6060,
        *,
        workload: str = "checkout",
        prefix: str = "",
        record: bool = True,
    ) -> None:
        """`record` False: no copies of what it served, only the log; for many targets at one process."""
        self.recording = folder / f"{name}-recording"
        extra = ["--path-prefix", prefix] if prefix else []
        listen = ["--listen", f"{ip}:{port}", *(["--record", str(self.recording)] if record else [])]
        super().__init__(name, [BIN / "demoapp", "--name", name, "--workload", workload, *listen, *extra], folder)
        self.ip, self.port = ip, port
        self.address: str = self.announcement()["listening"]

    def requests(self, path: str = "", since: int = 0) -> list[dict[str, Any]]:
        """Finished profile requests, oldest first."""
        answer = _HTTP.get(f"http://{self.address}/-/requests", params={"since": since})
        return [entry for entry in answer.raise_for_status().json() if entry["path"].startswith(path)]


class Hostile(Child):
    """Every target that nobody wants to meet, on all loopback addresses, by `/hostile/<kind>/`."""

    def __init__(self, folder: Path, name: str = "hostile", port: int = 0, canary: str = "127.0.0.99") -> None:
        """`canary` is where its redirects point at."""
        super().__init__(name, [BIN / "hostile", "--listen", f"0.0.0.0:{port}", "--canary", canary], folder)
        self.port = int(self.announcement()["listening"].rpartition(":")[2])

    def _get(self, page: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}/-/{page}", trust_env=False).raise_for_status().json()
        return found

    def ports(self) -> dict[str, int]:
        """Of the kinds that a path can't choose."""
        return {kind: int(address.rpartition(":")[2]) for kind, address in self._get("addresses").items()}

    def hits(self) -> dict[str, Any]:
        """`kinds` by name: how many `requests` came, and how many are still being answered (`busy`); and `canary`."""
        return self._get("hits")


class Receiver(Child):
    """A push.v1 server on Pyroscope's own API module, with a query API."""

    def __init__(self, folder: Path, *flags: str, host: str = "127.0.0.1", port: int = 0, name: str = "receiver") -> None:
        super().__init__(name, [BIN / "receiver", "--listen", f"{host}:{port}", *flags], folder)
        self.url = f"http://{self.announcement()['listening']}"

    def _get(self, path: str, **params: Any) -> Any:
        return _HTTP.get(f"{self.url}/api/{path}", params=params).raise_for_status().json()

    def profiles(self, since: int = 0, **labels: str) -> list[dict[str, Any]]:
        """Metadata of the profiles that were taken, oldest first; `name` stands for `__name__`."""
        if "name" in labels:
            labels["__name__"] = labels.pop("name")
        found: list[dict[str, Any]] = self._get("profiles", since=since, **labels)
        return found

    def body(self, seq: int) -> bytes:
        """A profile that was taken, as it came."""
        return _HTTP.get(f"{self.url}/api/profiles/{seq}/body").raise_for_status().content

    def last_seq(self) -> int:
        return max((profile["seq"] for profile in self.profiles()), default=0)

    def summary(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get("summary")
        return found

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = self._get("stats")
        return found

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """Push requests with a number above `since`, whatever became of them, oldest first."""
        found: list[dict[str, Any]] = self._get("requests", since=since)
        return found

    def rejected(self) -> dict[str, Any]:
        found: dict[str, Any] = self._get("rejected")
        return found

    def top(self, service: str, name: str, sample_type: str, n: int = 5) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(
            "top", **{"service_name": service, "__name__": name, "sample_type": sample_type, "n": n}
        )
        return found

    def fault(self, **fault: Any) -> None:
        _HTTP.post(f"{self.url}/api/fault", json=fault).raise_for_status()


class Gate(Child):
    """One profiled process behind many faces: each asks for, or shows, something else."""

    def __init__(self, folder: Path, ip: str, elsewhere: str, *flags: str, name: str = "gate") -> None:
        """`elsewhere` is the other host, where redirects lead."""
        self.certs = folder / f"{name}-certs"
        command = [BIN / "gate", "--ip", ip, "--elsewhere", elsewhere, "--certs", self.certs, *flags]
        super().__init__(name, command, folder)
        about = self.announcement()
        self.ip, self._admin = ip, f"http://{about['listening']}/-"
        self.faces: dict[str, str] = about["faces"]
        """Their addresses by name."""

    def port(self, face: str) -> int:
        return int(self.faces[face].rpartition(":")[2])

    def pem(self, name: str) -> str:
        """Of a file such as ca.crt or client.key."""
        return (self.certs / name).read_text()

    def requests(self, since: int = 0, face: str = "") -> list[dict[str, Any]]:
        """Finished requests with a number above `since`, oldest first; of all faces unless one is named."""
        answer = _HTTP.get(f"{self._admin}/requests", params={"since": since, "face": face})
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found

    def last_seq(self) -> int:
        return max((entry["seq"] for entry in self.requests()), default=0)

    def connections(self) -> dict[str, int]:
        """How many were opened so far, by face."""
        found: dict[str, int] = _HTTP.get(f"{self._admin}/connections").raise_for_status().json()
        return found

    def accept(self, **credentials: Sequence[str]) -> None:
        """Only these are good from now on, of the kinds that are named: basic, bearer, apikey, key, client."""
        _HTTP.post(f"{self._admin}/credentials", json=credentials).raise_for_status()

    def token_life(self, seconds: float) -> None:
        """Of the tokens that are given from now on."""
        _HTTP.post(f"{self._admin}/tokens", json={"lifeSeconds": seconds}).raise_for_status()

    def revoke(self) -> int:
        """End all tokens; returns how many there were."""
        revoked: int = _HTTP.post(f"{self._admin}/revoke").raise_for_status().json()["revoked"]
        return revoked

    def forward_to(self, receiver: Receiver) -> None:
        """Pushes that get through go there."""
        _HTTP.post(f"{self._admin}/upstream", data={"url": receiver.url}).raise_for_status()


class ForwardProxy(Child):
    """A forward proxy: `http` (forwarding and CONNECT) and `socks` are the addresses of its two listeners."""

    def __init__(self, folder: Path, ip: str, *flags: str, name: str = "proxy") -> None:
        super().__init__(name, [BIN / "proxy", "--ip", ip, *flags], folder)
        about = self.announcement()
        self.http, self.socks = about["http"], about["socks"]
        self._admin = f"http://{about['listening']}/-"

    def connections(self) -> list[dict[str, Any]]:
        """Who asked to be let through: `way` (forward, connect, socks), `client`, `target`, `allowed`."""
        found: list[dict[str, Any]] = _HTTP.get(f"{self._admin}/connections").raise_for_status().json()
        return found

    def targets(self, way: str = "") -> set[str]:
        """To where anybody was let through, of one way if it is named."""
        return {one["target"] for one in self.connections() if one["allowed"] and way in {"", one["way"]}}


class Etcd(Child):
    """An etcd of its own that serves profiles over TLS, to those who have a certificate."""

    def __init__(self, folder: Path, certs: Path, name: str = "etcd-tls") -> None:
        """`certs` has ca.crt, server.crt and server.key, as those of a Gate."""
        self.port, peer = free_port(), f"http://127.0.0.1:{free_port()}"
        url = f"https://127.0.0.1:{self.port}"
        command: list[str | Path] = [
            BIN / "etcd",
            "--unsafe-no-fsync",
            "--enable-pprof",
            "--client-cert-auth",
            f"--trusted-ca-file={certs / 'ca.crt'}",
            f"--cert-file={certs / 'server.crt'}",
            f"--key-file={certs / 'server.key'}",
            f"--data-dir={folder / f'{name}-data'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]
        super().__init__(name, command, folder)


class Operator(Child):
    """The operator as a real process of its own."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        name: str = "operator",
        kubeconfig: Path | None = None,
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """`wrapper` is put before the command."""
        self.port = free_port(_OPERATORS)
        environment = {**(environment or {}), **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
        command = [*wrapper, sys.executable, "-W", "error::ResourceWarning", "-m", "pyroscope_operator", "run"]
        super().__init__(name, [*command, "--listen", f"{_OPERATORS}:{self.port}", *flags], folder, environment)
        self.url = f"http://{_OPERATORS}:{self.port}"

    def get(self, path: str) -> httpx.Response:
        return _HTTP.get(self.url + path, timeout=10)

    def ready(self) -> bool:
        self.check_running()
        try:
            return self.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def wait_ready(self, timeout: float = 60) -> None:
        eventually(self.ready, f"{self.name} is ready", timeout)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of one of our own metrics (without its prefix) that have these labels; 0 without any."""
        families = text_string_to_metric_families(self.get("/metrics").raise_for_status().text)
        samples = [sample for family in families for sample in family.samples if sample.name == f"pyroscope_operator_{name}"]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def delivery(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What it says of the endpoints, by write and name."""
        return {(one["write"], one["endpoint"]): one for one in self.targets()["delivery"]}

    def dropped(self) -> dict[str, int]:
        """Lost profiles by reason."""
        families = text_string_to_metric_families(self.get("/metrics").raise_for_status().text)
        samples = [sample for family in families for sample in family.samples]
        lost = [sample for sample in samples if sample.name == "pyroscope_operator_profiles_dropped_total"]
        by_reason: dict[str, int] = {}
        for sample in lost:
            reason = sample.labels["reason"]
            by_reason[reason] = by_reason.get(reason, 0) + int(sample.value)
        return by_reason

    def rss(self) -> int:
        """Bytes of memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def targets(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/api/v1/targets").raise_for_status().json()
        return found

    def scrapes(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The scrapes by (address, profile type)."""
        return {
            (target["address"], scrape["profile"]): scrape
            for found in self.targets()["objects"]
            for target in found["targets"]
            for scrape in target["scrapes"]
        }

    def end(self, within: float = 30.0) -> float:
        """SIGTERM, and what `ended` says."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended(within)

    def ended(self, within: float = 30.0) -> float:
        """After a signal: it must end in order, within so many seconds, and have nothing to complain of.

        Returns the seconds that it took by its own log: a busy machine may take some more to start and end a process.
        """
        code = self.process.wait(within)
        assert code == 0, f"{self.name} ended with {code}: {self.log_tail()}"
        self.check_log()
        at = {line["message"].partition(":")[0]: datetime.fromisoformat(line["time"]) for line in self.log_lines()}
        return (at["stopped"] - at["stopping"]).total_seconds()

    def check_log(self) -> None:
        """No bug, and nothing that is no line of the log: a traceback, a task or a connection that nobody has ended."""
        wrong = [line for line in self.log_lines() if line["level"] in {"ERROR", "CRITICAL"}]
        assert not wrong, f"{self.name}: {wrong}"

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the log, which must be JSON."""
        return [json.loads(line) for line in self.stderr.read_text().splitlines()]


def check_deltas(
    receiver: Receiver, recordings: Sequence[Path], path: str, labels: Mapping[str, str], at_least: int = 2
) -> dict[str, Any]:
    """Compare with google/pprof what apps served and what arrived; one recording for each life of the process."""
    command = [str(BIN / "profcheck"), "deltas", "--json", "--path", path, "--receiver", receiver.url]
    command += [part for recording in recordings for part in ("--recorded", str(recording))]
    command += [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    done = subprocess.run([*command, "--min-received", str(at_least)], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, f"profcheck: {done.stderr}"
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"], report
    return report
