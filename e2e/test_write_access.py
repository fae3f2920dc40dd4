"""PyroscopeWrite: how a Pyroscope is reached, each option in its working and in its failing form, and several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e2e.access_table import (
    API_KEY,
    BEARER,
    CLIENT,
    CLIENT_SECRET,
    CONFIG_MAPS,
    KEY,
    PROXY_PASSWORD,
    PUBLIC_KEYS,
    RIGHT,
    SECRETS,
    UP,
    Row,
)
from e2e.conftest import start_operator
from e2e.harness.cluster import SCRAPES, Cluster, PodSpec
from e2e.harness.doors import NETWORK, Doors, leaks
from e2e.harness.parts import Operator, Receiver
from e2e.harness.wait import eventually
from e2e.write_table import TABLE, url

_NAMESPACE = "writes"
_KIND = {"apiVersion": "pyroscope-operator.dev/v1alpha1"}
_OFF = {name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")}
_PATIENCE = {"minBackoff": "500ms", "maxBackoff": "2s"}


@pytest.fixture(scope="module")
def doors(binaries: None, folder: Path, receiver: Receiver) -> Iterator[Doors]:
    doors = Doors(folder, f"me:{PROXY_PASSWORD}")
    doors.gate.accept(
        basic=[f"scraper:{RIGHT}"], bearer=[BEARER], apikey=[API_KEY], key=[KEY], client=[f"{CLIENT}:{CLIENT_SECRET}"]
    )
    doors.gate.forward_to(receiver)
    doors.addresses["receiver"] = receiver.url.removeprefix("http://")
    yield doors
    doors.close()


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster, receiver: Receiver, doors: Doors, folder: Path) -> Iterator[Operator]:
    """Everything is there before it starts."""
    cluster.namespace(_NAMESPACE)
    items = [doors.data("Secret", _NAMESPACE, name, values) for name, values in SECRETS.items()]
    items += [doors.data("ConfigMap", _NAMESPACE, name, values) for name, values in CONFIG_MAPS.items()]
    for row in TABLE:
        items += [_write(row.name, {"endpoints": [_endpoint(doors, url(row), **row.spec)]}), _scrape(row.name, row.name)]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})
    ip, port = doors.addresses["plain"].split(":")
    cluster.run_pod(_NAMESPACE, PodSpec("target", ip, {"app": "target"}, port=int(port)))
    flags = ("--allow-destinations", NETWORK, "--shutdown-grace", "2s")  # much is queued for those that are dead
    operator = start_operator(cluster, receiver, folder, *flags, environment=doors.environment)
    yield operator
    operator.end()
    cluster.kubectl("delete", "pyscrape,pywrite", "--all", "-n", _NAMESPACE, "--wait=false")
    cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _endpoint(doors: Doors, address: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    return doors.filled({"name": name, "url": address, **_PATIENCE, **fields})


def _write(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {**_KIND, "kind": "PyroscopeWrite", "metadata": {"name": name, "namespace": _NAMESPACE}, "spec": dict(spec)}


def _scrape(name: str, *writes: str, interval: str = "3s") -> dict[str, Any]:
    """Of the only pod, one type of profile; all of them differ in a parameter."""
    spec = {
        "selector": {"matchLabels": {"app": "target"}},
        "interval": interval,
        "params": {"row": [name]},
        "profilingConfig": _OFF,
        "forwardTo": [{"name": write} for write in writes],
    }
    return {**_KIND, "kind": "PyroscopeScrape", "metadata": {"name": name, "namespace": _NAMESPACE}, "spec": spec}


def _status(cluster: Cluster, resource: str, name: str) -> dict[str, Any]:
    answer = cluster.api.get(f"{SCRAPES}/namespaces/{_NAMESPACE}/{resource}/{name}")
    status: dict[str, Any] = answer.raise_for_status().json().get("status", {})
    return status


def _condition(cluster: Cluster, name: str, kind: str, wanted: str) -> dict[str, Any]:
    """A condition of the PyroscopeWrite, which must be `<status>/<reason>`."""
    conditions = _status(cluster, "pyroscopewrites", name).get("conditions", ())
    found: dict[str, Any] = next((one for one in conditions if one["type"] == kind), {})
    assert f"{found.get('status')}/{found.get('reason')}" == wanted, conditions
    return found


def _wait_for(cluster: Cluster, name: str, kind: str, wanted: str, timeout: float = 40) -> str:
    """Until a condition of the PyroscopeWrite is so; returns its message."""
    found = eventually(lambda: _condition(cluster, name, kind, wanted), f"{kind} of {name} is {wanted}", timeout)
    message: str = found["message"]
    return message


def _pushes(doors: Doors, row: Row) -> list[dict[str, Any]]:
    """Pushes that the gate let in where they arrive in the end."""
    found = doors.gate.requests(face=row.last or row.face)
    return [one for one in found if one["path"].startswith(f"/w/{row.name}/") and one["status"] == 200]


def _arrived(receiver: Receiver, name: str, **labels: str) -> list[dict[str, Any]]:
    return receiver.profiles(job=f"{_NAMESPACE}/{name}", **labels)


@pytest.fixture(scope="module")
def patience(operator: Operator) -> Callable[[], float]:
    """Seconds to wait for a row: they all began at the same time, and those that come later need less."""
    started = time.monotonic()
    return lambda: max(5, started + 40 - time.monotonic())


def _reached(row: Row) -> str:
    """The reason that a row brings about on its PyroscopeWrite."""
    if row.want.startswith("Accepted:"):
        return f"write:{row.want.replace(':', '/')}"
    return "write:Delivering/Delivered" if row.want == UP else "write:Delivering/PushFailing"


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=pytest.mark.reaches(_reached(row))) for row in TABLE])
def test_table(cluster: Cluster, receiver: Receiver, doors: Doors, patience: Callable[[], float], row: Row) -> None:
    if row.want == UP:
        eventually(lambda: _arrived(receiver, row.name), f"profiles by {row.name}", patience())
        _wait_for(cluster, row.name, "Delivering", "True/Delivered", patience())
        pushes = eventually(lambda: _pushes(doors, row), "pushes")
        for key, value in row.seen.items():
            assert {one["header"].get(key, "") if key[0].isupper() else one[key] for one in pushes} == {value}, key
    elif row.want.startswith("Accepted:"):
        message = _wait_for(cluster, row.name, "Accepted", row.want.replace("Accepted:", "False/"), patience())
        assert row.says in message
        assert not _arrived(receiver, row.name)
    else:
        eventually(lambda: _fails_as_it_should(cluster, row), f"{row.name} fails", patience())
        cluster.wait_for(_NAMESPACE, row.name, "Delivering", "False/PushFailing", patience())
        assert not _arrived(receiver, row.name)


def _fails_as_it_should(cluster: Cluster, row: Row) -> bool:
    message = _condition(cluster, row.name, "Delivering", "False/PushFailing")["message"]
    assert row.want in message and row.says in message, message
    return True


def test_a_write_that_does_not_exist(cluster: Cluster, receiver: Receiver, doors: Doors) -> None:
    """Nothing goes to the operator's own Pyroscope instead; when it is there, profiles go."""
    cluster.apply(_scrape("early", "late"))
    cluster.wait_for(_NAMESPACE, "early", "Accepted", "False/WriteNotFound")
    assert not _arrived(receiver, "early")
    cluster.apply(_write("late", {"endpoints": [_endpoint(doors, "http://$plain/w/late")]}))
    cluster.wait_for(_NAMESPACE, "early", "Ready", "True/AllUp")
    eventually(lambda: _arrived(receiver, "early"), "profiles")


def test_two_writes_one_of_them_dead(cluster: Cluster, receiver: Receiver, doors: Doors) -> None:
    """The other misses nothing, with all its endpoints; labels and tenants are its own."""
    live = [
        _endpoint(doors, "http://$plain/w/live", "one", tenantID="one"),
        _endpoint(doors, "http://$key/w/live", "two", tenantID="two", **doors.filled(_row("header-secret").spec)),
    ]
    cluster.apply(_write("live", {"endpoints": live, "externalLabels": {"cluster": "eu"}}))
    cluster.apply(_write("dead", {"endpoints": [_endpoint(doors, "http://$dead/w/dead")]}))
    cluster.apply(_scrape("both", "live", "dead", interval="1s"))
    _wait_for(cluster, "dead", "Delivering", "False/PushFailing")

    def scraped() -> int:
        return len([one for one in doors.gate.requests(face="plain") if one["query"] == "row=both" and one["status"] == 200])

    eventually(lambda: scraped() >= 10, "ten scrapes")
    cluster.kubectl("patch", "pyscrape", "-n", _NAMESPACE, "both", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    cluster.wait_for(_NAMESPACE, "both", "Scraping", "Unknown/Suspended")
    served = scraped()
    for tenant in ("one", "two"):

        def all_there(tenant: str = tenant) -> bool:
            return len([one for one in _arrived(receiver, "both") if one["tenant"] == tenant]) == served

        eventually(all_there, f"all {served} profiles for {tenant}", 20)
    assert {(one["labels"]["cluster"], one["labels"]["namespace"]) for one in _arrived(receiver, "both")} == {("eu", _NAMESPACE)}
    assert _wait_for(cluster, "live", "Delivering", "True/Delivered")


def test_another_url_loses_nothing_that_is_queued(cluster: Cluster, receiver: Receiver, doors: Doors) -> None:
    cluster.apply(_write("moved", {"endpoints": [_endpoint(doors, "http://$dead/w/moved")]}))
    cluster.apply(_scrape("moved", "moved", interval="1s"))

    def scraped() -> int:
        return len([one for one in doors.gate.requests(face="plain") if one["query"] == "row=moved" and one["status"] == 200])

    eventually(lambda: scraped() >= 5, "five scrapes")
    assert not _arrived(receiver, "moved")
    cluster.apply(_write("moved", {"endpoints": [_endpoint(doors, "http://$plain/w/moved")]}))
    eventually(lambda: _arrived(receiver, "moved"), "profiles arrive")
    times = sorted(one["timeNanos"] for one in _arrived(receiver, "moved"))
    asked = min(one["unixNano"] for one in doors.gate.requests(face="plain") if one["query"] == "row=moved")
    eventually(lambda: len(_arrived(receiver, "moved")) >= scraped() - 1, "all of them")
    assert abs(times[0] - asked) < 1e9, "the first one is among them"


def test_a_rotated_secret(cluster: Cluster, receiver: Receiver, doors: Doors) -> None:
    """Both are good for a while; no push is refused."""
    new = "bearer-rotated-2b6f"
    row = _row("bearer")
    doors.gate.accept(bearer=[BEARER, new])
    cluster.apply(doors.data("Secret", _NAMESPACE, "tokens", {**SECRETS["tokens"], "bearer": new}))
    eventually(lambda: _pushes(doors, row)[-1]["header"]["Authorization"] == f"Bearer {new}", "the new token", 60, 0.5)
    doors.gate.accept(bearer=[new])
    mark = len(_pushes(doors, row))
    eventually(lambda: len(_pushes(doors, row)) >= mark + 3, "pushes go on")
    refused = [one for one in doors.gate.requests(face=row.face) if one["path"].startswith("/w/bearer/") and one["status"] != 200]
    assert not refused


def _row(name: str) -> Row:
    return next(row for row in TABLE if row.name == name)


def test_secrets_appear_nowhere(cluster: Cluster, doors: Doors, operator: Operator) -> None:
    """The last one: everything has happened by now."""
    values = [doors.value(value) for data in SECRETS.values() for key, value in data.items() if key not in PUBLIC_KEYS]
    values += [f"scraper:{RIGHT}", PROXY_PASSWORD, f"me:{PROXY_PASSWORD}", "bearer-rotated-2b6f"]
    tokens = {one["header"].get("Authorization", "").partition(" ")[2] for one in doors.gate.requests(face="oauth2")}
    assert tokens
    assert leaks(cluster, operator, [*values, *tokens]) == []
