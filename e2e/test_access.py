"""How targets are reached: each option in its working and in its failing form, against real parts.

All objects of the table are there at once, and one operator works on them all.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
    TABLE,
    UP,
    Row,
    secret,
)
from e2e.conftest import start_operator
from e2e.harness.cluster import Cluster, PodSpec
from e2e.harness.controlplane import ADMIN_TOKEN
from e2e.harness.doors import NAME, NETWORK, Doors, leaks
from e2e.harness.parts import Operator, Receiver
from e2e.harness.wait import eventually

_STATIC, _PODS = "default", "access"
"""Namespaces: the first is privileged, as the operator's own."""
_INTERVAL = 2
_OFF = {name: {"enabled": False} for name in ("memory", "block", "mutex", "processCPU")}


@pytest.fixture(scope="module")
def doors(binaries: None, folder: Path) -> Iterator[Doors]:
    doors = Doors(folder, f"me:{PROXY_PASSWORD}")
    doors.gate.accept(
        basic=[f"scraper:{RIGHT}"], bearer=[BEARER], apikey=[API_KEY], key=[KEY], client=[f"{CLIENT}:{CLIENT_SECRET}"]
    )
    yield doors
    doors.close()


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster, receiver: Receiver, doors: Doors, folder: Path) -> Iterator[Operator]:
    """Everything is there before it starts."""
    cluster.namespace(_PODS)
    items = [_scrape(row, doors) for row in TABLE]
    for namespace in (_STATIC, _PODS):
        items += [doors.data("Secret", namespace, name, values) for name, values in SECRETS.items()]
        items += [doors.data("ConfigMap", namespace, name, values) for name, values in CONFIG_MAPS.items()]
    cluster.apply({"apiVersion": "v1", "kind": "List", "items": items})
    for row in TABLE:
        for number in range(row.pods):
            ip, port = doors.addresses[row.face].split(":")
            cluster.run_pod(_PODS, PodSpec(f"{row.name}-{number}", ip, {"row": row.name}, port=int(port)))
    flags = ("--allow-destinations", NETWORK)
    operator = start_operator(cluster, receiver, folder, *flags, environment=doors.environment)
    yield operator
    operator.end()
    for namespace in (_STATIC, _PODS):  # nobody empties a namespace that is deleted: there is no controller manager
        cluster.kubectl("delete", "pyscrape", "--all", "-n", namespace, "--wait=false")
    cluster.kubectl("delete", "pods", "--all", "-n", _PODS, "--grace-period=0", "--force", "--wait=false")
    cluster.kubectl("delete", "secrets,configmaps", *SECRETS, *CONFIG_MAPS, "-n", _STATIC, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", _PODS, "--wait=false")


def _namespace(row: Row) -> str:
    return _PODS if row.pods else _STATIC


def _scrape(row: Row, doors: Doors) -> dict[str, Any]:
    """The object, which scrapes one type of profile; its requests can be told by a parameter."""
    spec = doors.filled(row.spec)
    host, port = doors.addresses[row.face].split(":")
    where = (
        {"selector": {"matchLabels": {"row": row.name}}, "port": int(port)}
        if row.pods
        else {"staticTargets": [{"address": f"{row.host or host}:{port}"}]}
    )
    spec["profilingConfig"] = {**_OFF, **spec.get("profilingConfig", {})}
    spec = {**where, "interval": f"{_INTERVAL}s", "scrapeTimeout": "10s", "params": {"row": [row.name]}, **spec}
    kind = {"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape"}
    return {**kind, "metadata": {"name": row.name, "namespace": _namespace(row)}, "spec": spec}


def _requests(doors: Doors, row: Row, *, since: int = 0) -> list[dict[str, Any]]:
    """What reached the face where the row's requests arrive in the end."""
    found = doors.gate.requests(since, row.last or row.face)
    return [one for one in found if one["query"] == f"row={row.name}"]


@pytest.fixture(scope="module")
def patience(operator: Operator) -> Callable[[], float]:
    """Seconds to wait for a row: they all began at the same time, and those that come later need less."""
    started = time.monotonic()
    return lambda: max(5, started + 40 - time.monotonic())


def _reached(row: Row) -> list[str]:
    """The reasons that a row brings about."""
    return [] if row.want == UP else [row.want.replace(":", "/") if ":" in row.want else f"failures/{row.want}"]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=pytest.mark.reaches(*_reached(row))) for row in TABLE])
def test_table(cluster: Cluster, receiver: Receiver, doors: Doors, patience: Callable[[], float], row: Row) -> None:
    namespace = _namespace(row)
    if row.want == UP:
        _check_up(cluster, receiver, doors, row, patience())
    elif row.want.startswith("Accepted:"):
        cluster.wait_for(namespace, row.name, "Accepted", row.want.replace("Accepted:", "False/"), patience())
        conditions = cluster.status(namespace, row.name)["conditions"]
        message = next(one["message"] for one in conditions if one["type"] == "Accepted")
        assert row.says in message
    else:
        eventually(lambda: _fails_as_it_should(cluster, row), f"{row.name} fails", patience())
        assert cluster.status(namespace, row.name)["targets"]["up"] == 0


def _fails_as_it_should(cluster: Cluster, row: Row) -> bool:
    failures = _failures(cluster, row)
    assert any(reason == row.want and row.says in message for reason, message in failures), failures
    return True


def _failures(cluster: Cluster, row: Row) -> list[tuple[str, str]]:
    """Reasons and messages of what went wrong."""
    status = cluster.status(_namespace(row), row.name)
    return [(one["reason"], one.get("message", "")) for one in status.get("failures", ())]


def _check_up(cluster: Cluster, receiver: Receiver, doors: Doors, row: Row, timeout: float) -> None:
    """All its targets are up, profiles arrive, and requests looked as they should."""
    namespace = _namespace(row)

    def up() -> bool:
        status = cluster.status(namespace, row.name)
        assert status.get("targets", {}).get("up") == max(1, row.pods), status
        return True

    eventually(up, f"{row.name} is up", timeout)
    eventually(lambda: receiver.profiles(job=f"{namespace}/{row.name}", name="goroutine"), f"profiles of {row.name}", timeout)
    entries = [one for one in _requests(doors, row) if one["status"] == 200]
    assert entries
    for key, value in row.seen.items():
        assert {one["header"].get(key, "") if key[0].isupper() else one[key] for one in entries} == {value}, key


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"basicAuth": {"username": secret("a", "b")}, "bearerTokenSecret": secret("a", "b")},
            "at most one of basicAuth, authorization, oauth2 and bearerTokenSecret may be set: remove the others",
        ),
        ({"proxyUrl": "http://me:geheim@127.0.30.1:1"}, "of host and port only: no user, no password"),
    ],
    ids=["two-authentications", "password-in-proxyUrl"],
)
def test_the_api_server_refuses(cluster: Cluster, spec: dict[str, Any], says: str) -> None:
    manifest = {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeScrape",
        "metadata": {"name": "refused", "namespace": _PODS},
        "spec": {"selector": {}, **spec},
    }
    assert says in cluster.kubectl("apply", "-f", "-", stdin=json.dumps(manifest), check=False)


# More than one object and one moment


def _row(name: str) -> Row:
    return next(row for row in TABLE if row.name == name)


def _token_requests(doors: Doors, audience: str, face: str = "token") -> list[dict[str, Any]]:
    return [one for one in doors.gate.requests(face=face) if (one["form"] or {}).get("audience") == [audience]]


def test_token_request_says_what_was_asked_for(doors: Doors) -> None:
    (asked,) = _token_requests(doors, "shop")
    assert asked["form"]["scope"] == ["profiles push"] and asked["form"]["grant_type"] == ["client_credentials"]


def test_one_token_for_all_targets_until_it_is_revoked(cluster: Cluster, doors: Doors) -> None:
    """Five targets share one token; a 401 makes it be fetched once more, for all of them."""
    row = _row("oauth2-many")
    eventually(lambda: len(_requests(doors, row)) >= 15, "scrapes with the token")
    assert len(_token_requests(doors, "many")) == 1
    assert len({one["header"]["Authorization"] for one in _requests(doors, row)}) == 1
    since = doors.gate.last_seq()
    assert doors.gate.revoke()
    eventually(lambda: len(_token_requests(doors, "many")) == 2, "a new token", 20)
    mark = len(_requests(doors, row))
    eventually(lambda: len(_requests(doors, row)) >= mark + 15, "scrapes with the new token")
    assert len(_token_requests(doors, "many")) == 2
    after = Counter(one["status"] for one in _requests(doors, row, since=since))
    assert after[200] >= 15 and after[401] <= row.pods
    # The refused request is sent again with the new token, so that no scrape is lost.
    assert not _failures(cluster, row)


def test_a_target_that_refuses_every_token_costs_no_flood_of_token_requests(doors: Doors) -> None:
    row = _row("oauth2-target-refuses")
    eventually(lambda: len(_requests(doors, row)) >= 10, "refused scrapes")
    asked = len(_token_requests(doors, "refused"))
    assert asked <= len(_requests(doors, row)) / 2 + 1


def test_short_tokens_are_renewed_before_they_end(doors: Doors) -> None:
    row = _row("oauth2-short")
    since = doors.gate.last_seq()
    asked = len(_token_requests(doors, "short"))
    eventually(lambda: len(_token_requests(doors, "short")) >= asked + 2, "two more tokens", 40)
    assert {one["status"] for one in _requests(doors, row, since=since)} == {200}


def test_proxies_were_asked_by_those_who_said_so(doors: Doors) -> None:
    """And by nobody else, though the environment of the operator names one."""
    faces = doors.gate.faces
    named = {name: f"{NAME}:{doors.gate.port(name)}" for name in faces}
    wanted = {
        "forward": {faces["plain"], faces["basic"], faces["token"], named["plain"]},
        "connect": {faces["tls"], faces["wrong-name"], named["tls"]},
        "socks": {faces["plain"], faces["tls"], named["tls"]},
    }
    assert {way: doors.proxy.targets(way) for way in wanted} == wanted
    assert doors.login_proxy.targets() == {named["key"], named["tls13"]}
    assert _token_requests(doors, "proxy")


@pytest.mark.parametrize("face", ["tls", "mtls", "mtls12", "http1", "plain"])
def test_connections_are_kept(doors: Doors, face: str) -> None:
    """A loop needs one, if nobody else has one to spare; its requests come again and again."""
    rows = [row for row in TABLE if row.want == UP and face in {row.face, row.last}]

    def enough() -> list[str]:
        remotes = [remote for row in rows for remote in _remotes(doors, row)]
        return remotes if len(remotes) >= 8 * len(rows) else []

    remotes = eventually(enough, f"requests at {face}", 30)
    loops = sum(max(1, row.pods) for row in rows)
    assert len(set(remotes)) <= 2 * loops, f"{len(remotes)} requests of {loops} loops"


def _remotes(doors: Doors, row: Row) -> list[str]:
    """From where the operator asked: its side of each connection."""
    return [one["remote"] for one in _requests(doors, row)]


def test_connections_are_bounded_and_measured(operator: Operator) -> None:
    """Settings that are equal share an SSLContext, whatever the number of objects."""
    ways = {json.dumps([row.spec.get(key) for key in ("tlsConfig", "enableHTTP2")], sort_keys=True) for row in TABLE}
    of_tokens = sum("tlsConfig" in row.spec.get("oauth2", {}) for row in TABLE)
    assert 1 < operator.metric("tls_contexts") <= len(ways) + of_tokens
    loops = sum(max(1, row.pods) for row in TABLE)
    assert 1 < operator.metric("connections") <= 2 * loops


def test_missing_secret_appears_without_a_touch_to_the_object(cluster: Cluster, doors: Doors, operator: Operator) -> None:
    """And what has nothing to do with it goes on."""
    row = _row("secret-missing-pod")
    other = _row("bearer-pod")
    before = cluster.get(_PODS, row.name)["metadata"]["generation"]
    mark = len(_requests(doors, other))
    cluster.apply(doors.data("Secret", _PODS, "late", {"token": BEARER}))
    cluster.wait_for(_PODS, row.name, "Ready", "True/AllUp", 70)
    assert cluster.get(_PODS, row.name)["metadata"]["generation"] == before
    eventually(lambda: len(_requests(doors, other)) > mark, "others are scraped")
    assert {one["status"] for one in _requests(doors, other)} == {200}


def test_rotation_loses_no_scrape(cluster: Cluster, receiver: Receiver, doors: Doors, operator: Operator) -> None:
    """Old and new credentials are good for a while, as in a careful rotation; then only the new ones are."""
    new = "bearer-rotated-2b6f"
    rotated, untouched = [_row(name) for name in ("bearer", "bearer-pod", "authorization")], [_row("basic-pod"), _row("ca-pod")]
    certified = _row("client-certificate-pod")
    doors.gate.accept(bearer=[BEARER, new])
    since, began = doors.gate.last_seq(), time.monotonic()
    certificate = {"tls.crt": "@client-2.crt", "tls.key": "@client-2.key"}
    for namespace in (_STATIC, _PODS):
        cluster.apply(doors.data("Secret", namespace, "tokens", {**SECRETS["tokens"], "bearer": new}))
        cluster.apply(doors.data("Secret", namespace, "tls", {**SECRETS["tls"], **certificate}))

    def all_new() -> bool:
        """Each of them was seen with what is new."""
        tokens = [
            any(one["header"].get("Authorization") == f"Bearer {new}" for one in _requests(doors, row, since=since))
            for row in rotated
        ]
        return all(tokens) and any(one["client"] == "client-2" for one in _requests(doors, certified, since=since))

    eventually(all_new, "the new token and the new certificate are in use", 60, 0.5)
    took = time.monotonic() - began
    doors.gate.accept(bearer=[new])
    mark = doors.gate.last_seq()
    rotated.append(certified)
    eventually(lambda: all(len(_requests(doors, row, since=mark)) >= 4 * max(1, row.pods) for row in rotated), "scrapes go on")
    for row in (*rotated, *untouched):
        statuses = Counter(one["status"] for one in _requests(doors, row, since=since))
        assert set(statuses) == {200}, (row.name, statuses)
        assert not _failures(cluster, row), row.name
    assert took < 60
    for row in untouched:
        _check_undisturbed(receiver, doors, row)


def _check_undisturbed(receiver: Receiver, doors: Doors, row: Row) -> None:
    """No slot of its loops was missed, and none began anew: only the first scrape of memory sends nothing."""

    def times(path: str) -> list[float]:
        """The pods of a row are one process at one port, so that their requests come together."""
        return sorted(one["unixNano"] / 1e9 for one in _requests(doors, row) if one["path"].endswith(path))

    goroutine = times("/goroutine")
    gaps = [after - before for before, after in zip(goroutine[:: row.pods], goroutine[row.pods :: row.pods], strict=False)]
    assert gaps and max(gaps) < 2 * _INTERVAL, (row.name, max(gaps))
    scraped = len(times("/allocs"))
    job = f"{_PODS}/{row.name}"
    eventually(lambda: len(receiver.profiles(job=job, name="memory")) >= scraped - row.pods, f"all differences of {row.name}", 20)


def test_secrets_appear_nowhere(cluster: Cluster, doors: Doors, operator: Operator) -> None:
    """The last one: everything has happened by now."""
    values = [doors.value(value) for data in SECRETS.values() for key, value in data.items() if key not in PUBLIC_KEYS]
    values += [f"scraper:{RIGHT}", PROXY_PASSWORD, f"me:{PROXY_PASSWORD}", "bearer-rotated-2b6f"]
    tokens = {one["header"].get("Authorization", "").partition(" ")[2] for one in doors.gate.requests(face="oauth2")}
    assert len(tokens) > 5
    assert leaks(cluster, operator, [*values, *tokens]) == []


def test_the_operators_own_credentials_go_to_nobody(doors: Doors) -> None:
    seen = {value for one in doors.gate.requests() for value in one["header"].values()}
    assert not [value for value in seen if ADMIN_TOKEN in value]
