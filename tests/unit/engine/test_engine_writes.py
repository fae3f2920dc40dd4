"""From PyroscopeWrites to endpoints: verdicts, what goes on as before, and how many there may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from write_builder import FakeSecrets, no_fanout, write, writes

from pyroscope_operator.engine.access import Resolver
from pyroscope_operator.engine.store import Store, WriteObject
from pyroscope_operator.engine.writes import MAX_ENDPOINTS, WriteDecision, decide, endpoints_of
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import FLAGS, WriteEndpoint

MAIN = ObjectRef("shop", "main")
GUARDED = {"name": "eu", "url": "http://eu:4040", "bearerTokenSecret": {"name": "login", "key": "token"}}


def decided(*objects: WriteObject, secrets: FakeSecrets | None = None, before: WriteDecision | None = None) -> WriteDecision:
    known = {found.ref: found for found in objects}
    return decide(known, Resolver((secrets or FakeSecrets()).lookup), before or WriteDecision())


class TestEndpoints:
    def test_every_field(self) -> None:
        given = {
            **GUARDED,
            "tenantID": "team",
            "followRedirects": False,
            "remoteTimeout": "3s",
            "minBackoff": "1s",
            "maxBackoff": "1m",
            "maxRetries": 4,
            "retryOnHTTP429": False,
        }
        found = decided(write(given, externalLabels={"cluster": "eu"}), secrets=FakeSecrets(login="t0ken"))
        (endpoint,) = found.endpoints[MAIN]
        assert (endpoint.write, endpoint.name, endpoint.url) == (MAIN, "eu", "http://eu:4040")
        assert (endpoint.access.authorization, endpoint.access.guarded) == ("Bearer t0ken", True)
        assert (endpoint.tenant_id, endpoint.external_labels) == ("team", Labels({"cluster": "eu"}))
        assert (endpoint.remote_timeout, endpoint.min_backoff, endpoint.max_backoff) == (3, 1, 60)
        assert (endpoint.max_retries, endpoint.retry_on_429, endpoint.follow_redirects) == (4, False, False)

    def test_defaults_are_those_of_the_flags(self) -> None:
        (endpoint,) = decided(write("eu")).endpoints[MAIN]
        plain = WriteEndpoint("http://eu:4040", name="eu", write=MAIN, access=endpoint.access, follow_redirects=True)
        assert endpoint == plain
        assert endpoint.access.guarded


class TestVerdicts:
    @pytest.mark.parametrize(
        ("found", "reason", "says"),
        [
            (write("eu"), "Accepted", "valid"),
            (write({"name": "eu"}), "InvalidSpec", "spec.endpoints[0].url: is required"),
            (write(GUARDED), "SecretNotFound", "there is no Secret shop/login, or correct spec.endpoints[0].bearerTokenSecret"),
            (write({"name": "eu", "url": "http://[:::]:4040"}), "InvalidSpec", "spec.endpoints"),
        ],
    )
    def test_one_write(self, found: WriteObject, reason: str, says: str) -> None:
        made = decided(found)
        assert made.verdicts[MAIN].reason == reason
        assert says in made.verdicts[MAIN].message
        assert (MAIN in made.endpoints) == (reason == "Accepted")

    def test_a_bug_about_one_is_told_and_concerns_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(ref: ObjectRef, *rest: Any) -> Any:
            if ref == MAIN:
                raise ZeroDivisionError
            return endpoints_of(ref, *rest)

        monkeypatch.setattr("pyroscope_operator.engine.writes.endpoints_of", broken)
        made = decided(write("eu"), write("us", name="other"))
        assert made.verdicts[MAIN].reason == "InternalError"
        assert "ZeroDivisionError" in made.verdicts[MAIN].message
        assert made.endpoints.keys() == {ObjectRef("shop", "other")}

    def test_one_does_not_concern_the_other(self) -> None:
        made = decided(write("eu"), write(GUARDED, name="other"))
        assert made.endpoints.keys() == {MAIN}


class TestGoingOn:
    @pytest.mark.parametrize("now", [write(GUARDED), write({"name": "eu", "url": "x"})], ids=["Secret", "spec"])
    def test_what_ran_goes_on(self, now: WriteObject) -> None:
        before = decided(write("us"))
        after = decided(now, before=before)
        assert not after.verdicts[MAIN].accepted
        assert "profiles are written as before" in after.verdicts[MAIN].message
        assert after.endpoints == before.endpoints
        later = decided(now, before=after)
        assert later.endpoints == before.endpoints

    def test_a_namesake_inherits_nothing(self) -> None:
        after = decided(write(GUARDED, meta={"uid": "another"}), before=decided(write("us")))
        assert after.endpoints == {}

    def test_one_that_is_gone_is_gone(self) -> None:
        gone = decided(before=decided(write("us")))
        assert decided(write(GUARDED), before=gone).endpoints == {}

    def test_a_secret_that_comes_back(self) -> None:
        secrets = FakeSecrets(login="one")
        before = decided(write(GUARDED), secrets=secrets)
        during = decided(write(GUARDED), secrets=FakeSecrets(), before=before)
        assert during.endpoints == before.endpoints
        after = decided(write(GUARDED), secrets=FakeSecrets(login="two"), before=during)
        assert after.endpoints[MAIN][0].access.authorization == "Bearer two"
        assert after.verdicts[MAIN].accepted


class TestMany:
    def test_the_older_ones_have_the_better_claim(self) -> None:
        per_write = MAX_ENDPOINTS // 20
        objects = [many(f"w{number:02}", per_write, f"2026-01-{number + 1:02}T00:00:00Z") for number in range(21)]
        made = decided(*reversed(objects))
        assert sum(map(len, made.endpoints.values())) == MAX_ENDPOINTS
        assert {ref.name for ref, verdict in made.verdicts.items() if not verdict.accepted} == {"w20"}
        assert made.verdicts[ObjectRef("shop", "w20")].reason == "TooManyEndpoints"

    def test_those_that_run_are_not_pushed_out(self) -> None:
        young = [many(f"w{number:02}", 10, "2026-02-01T00:00:00Z") for number in range(20)]
        running = decided(*young)
        made = decided(many("old", 10, "2026-01-01T00:00:00Z"), *young, before=running)
        assert made.verdicts[ObjectRef("shop", "old")].reason == "TooManyEndpoints"
        assert made.endpoints == running.endpoints

    def test_one_that_grows_too_much_goes_on_as_it_was(self) -> None:
        objects = [many(f"w{number:02}", 10, "2026-02-01T00:00:00Z") for number in range(19)] + [many("x", 5, "2026-01-01")]
        running = decided(*objects)
        made = decided(*objects[:-1], many("x", 10, "2026-01-01"), many("y", 5, "2026-01-01"), before=running)
        assert len(made.endpoints[ObjectRef("shop", "x")]) == 10
        assert made.verdicts[ObjectRef("shop", "y")].reason == "TooManyEndpoints"
        again = decided(*objects[:-1], many("x", 10, "2026-01-01"), many("y", 5, "2026-01-01"), before=running)
        assert again == made


def many(name: str, count: int, created: str) -> WriteObject:
    return write(*(f"e{number}" for number in range(count)), name=name, meta={"creationTimestamp": created})


class Office:
    """Writes over a store and a fan-out that reaches nobody."""

    def __init__(self, secrets: FakeSecrets, *objects: WriteObject, **options: Any) -> None:
        metrics = Metrics()
        self.store, self.secrets, book = Store(metrics), secrets, DeliveryBook()
        self.fanout = no_fanout(metrics, book)
        self.writes = writes(self.store, self.fanout, secrets, **options)
        for found in objects:
            self.store.put_object(found)

    async def settle(self) -> None:
        await self.secrets.ensure(self.writes.references())
        self.writes.sync(self.writes.decide())
        self.store.changed.clear()

    def access(self) -> Iterable[str | None]:
        return [writer.endpoint.access.authorization for writer in self.fanout._writers.values()]

    def running(self) -> set[str]:
        return {str(snapshot.key) for snapshot in self.fanout.snapshots()}


class TestInStep:
    async def test_the_flags_are_one_write_of_several(self) -> None:
        office = Office(FakeSecrets(), write("eu", "us"))
        await office.settle()
        assert office.running() == {"default", "shop/main/eu", "shop/main/us"}
        office.store.remove_object(MAIN, kind=WriteObject.kind)
        await office.settle()
        assert office.running() == {"default"}

    async def test_without_flags(self) -> None:
        office = Office(FakeSecrets(), flags=None)
        await office.settle()
        assert office.running() == set()
        assert FLAGS not in office.fanout._routes

    async def test_what_is_needed_is_asked_for_and_no_longer_when_it_is_not(self) -> None:
        office = Office(FakeSecrets(login="one"), write(GUARDED))
        await office.settle()
        assert {str(ref) for ref in office.secrets.needed} == {"Secret shop/login"}
        office.store.put_object(write("eu", meta={"generation": 2}))
        await office.settle()
        assert office.secrets.needed == frozenset()

    async def test_an_early_look_finds_new_credentials(self) -> None:
        office = Office(FakeSecrets(login="one"), write(GUARDED))
        await office.settle()
        await office.writes.renew(MAIN)
        assert (office.secrets.looks, list(office.access())[-1], office.store.changed.is_set()) == (1, "Bearer one", False)
        office.secrets.arriving = {"login": "two"}
        await office.writes.renew(MAIN)
        assert list(office.access())[-1] == "Bearer two"
        assert office.store.changed.is_set(), "the rest of what depends on it follows"

    async def test_there_is_nothing_to_look_at(self) -> None:
        office = Office(FakeSecrets(), write("eu"))
        await office.settle()
        await office.writes.renew(MAIN)
        await office.writes.renew(ObjectRef("shop", "unknown"))
        assert office.secrets.looks == 0
