"""A Pyroscope that answers as told, and an EndpointWriter on fake time in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from pyroscope_operator._proto.push_pb2 import PushRequest
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.profile import Profile
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.batch import Entry, encode, encode_labels
from pyroscope_operator.push.client import PushClient
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.writer import EndpointWriter

EPOCH = 1_800_000_000.0
SHOP = ObjectRef("shop", "checkout")

Answer = httpx.Response | Exception | Callable[[PushRequest], httpx.Response | Awaitable[httpx.Response]]


def labels(service: str = "checkout", **more: str) -> Labels:
    return Labels({"__name__": "process_cpu", "service_name": service, "namespace": "shop", "job": "j", "instance": "i", **more})


def profile(body: bytes = b"pprof", service: str = "checkout", **fields: Any) -> Profile:
    known = {"source": SHOP, "labels": labels(service), "raw_bytes": len(body), "samples": 1, "scraped_at": EPOCH}
    return Profile(body=body, **{**known, **fields})


def entry(body: bytes = b"pprof", queued_at: float = 0.0, **fields: Any) -> Entry:
    made = profile(body, **fields)
    return encode(made, encode_labels(made.labels), queued_at)


def ok() -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/proto"})


def connect_error(status: int, code: str, message: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message}, headers=headers)


def failed_id(sample_id: str, why: str = "boom", index: int = 0) -> str:
    return f"push series with index {index} and id {sample_id} failed: {why}"


def ids(request: PushRequest) -> list[str]:
    return [sample.ID for series in request.series for sample in series.samples]


def bodies(request: PushRequest) -> list[bytes]:
    return [sample.raw_profile for series in request.series for sample in series.samples]


@dataclass
class FakePyroscope:
    """Gives `answers` one by one, then `otherwise`; keeps what it was sent and when."""

    answers: list[Answer] = field(default_factory=list)
    otherwise: Answer = field(default=lambda _: ok())
    requests: list[PushRequest] = field(default_factory=list)
    http: list[httpx.Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    @property
    def batches(self) -> list[list[bytes]]:
        return [bodies(request) for request in self.requests]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        message = PushRequest.FromString(await request.aread())
        self.requests.append(message)
        self.http.append(request)
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else self.otherwise
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        made = answer(message)
        return made if isinstance(made, httpx.Response) else await made


class Bench:
    """A running EndpointWriter with a fake Pyroscope; unix time is `EPOCH` + the loop's time."""

    def __init__(self, fake: FakePyroscope, *, endpoint: WriteEndpoint | None = None, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        self.fake = fake
        self.metrics = Metrics()
        self.book = DeliveryBook()
        self.endpoint = endpoint or WriteEndpoint("http://pyroscope:4040")
        client = PushClient(self.endpoint, lambda _: fake.transport, self.now)
        self.writer = EndpointWriter(client, self.metrics, self.book, clock=self.now, monotonic=loop.time, **options)
        self.task: asyncio.Task[None] | None = None
        self._labels = dict(zip(("write", "endpoint"), self.endpoint.key.labels, strict=True))

    @staticmethod
    def now() -> float:
        return EPOCH + asyncio.get_running_loop().time()

    async def __aenter__(self) -> Bench:
        self.task = asyncio.create_task(self.writer.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    def put(self, *bodies: bytes, **fields: Any) -> None:
        for body in bodies:
            self.writer.put(profile(body, **{"scraped_at": self.now(), **fields}))

    def value(self, name: str, **labels: str) -> float:
        """A metric of this endpoint, 0 if it was never touched."""
        found = self.metrics.registry.get_sample_value(f"pyroscope_operator_{name}", {**self._labels, **labels})
        return found or 0.0

    def dropped(self) -> dict[str, float]:
        """Dropped profiles by reason."""
        return {
            sample.labels["reason"]: sample.value
            for metric in self.metrics.profiles_dropped.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }
