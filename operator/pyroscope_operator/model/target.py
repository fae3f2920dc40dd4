"""Targets and scrapes: what is scraped, as frozen values with a stable identity.

A *target* is a process's HTTP endpoint; limits, sampling, sharding and the "12/14"
of the status count targets.  A *scrape* is a target times a profile type.  Their
`key`s stay equal over restarts of the operator and over changes that don't concern
the identity (labels, interval, `seconds`), so loops, phases and delta state survive those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

from pyroscope_operator.model.access import DIRECT, Access
from pyroscope_operator.model.labels import DELTA, NAME, Labels
from pyroscope_operator.model.ref import ObjectRef

STATIC = "static"
"""Stands for the pod UID of a target that is no pod."""

Params = tuple[tuple[str, tuple[str, ...]], ...]
"""Query parameters, sorted by name."""


def _digest(*parts: object) -> str:
    """128 bits that are the same in every process: Python's own `hash` is seeded."""
    return blake2b("\0".join(map(str, parts)).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint of one container, or a static address."""

    pod_uid: str
    """UID of the pod, or `STATIC`."""
    namespace: str
    """Namespace of the pod; of the object for a static target."""
    pod: str
    """Name of the pod; empty for a static target."""
    container: str
    scheme: str
    address: str
    """`host:port`; IPv6 hosts are bracketed."""
    container_id: str = ""
    """Changes when the container restarts: cumulative profiles begin anew then."""
    healthy: bool = True
    """Whether the pod says it is ready; static targets always are."""
    params: Params = ()
    """Query parameters of requests to it."""
    profiles: tuple[ProfileRequest, ...] = ()
    """What is asked of it."""
    labels: Labels = field(default_factory=Labels)
    """Labels of its series, all but `__name__`."""
    discovered: Labels = field(default_factory=Labels)
    """Labels as they were before relabeling, `__meta_…` among them."""
    key: str = field(init=False, repr=False, compare=False)
    """Identity: (pod UID or static, container, scheme, host:port)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", _digest(self.pod_uid, self.container, self.scheme, self.address))

    def offset(self, interval: float) -> float:
        """Seconds into each interval at which its scrapes start; spreads targets evenly."""
        return int(self.key[:13], 16) / 16**13 * interval


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """One profile type as it is asked for."""

    type: str
    """Standard name of the type (process_cpu, godeltaprof_memory, …) or of the custom one."""
    name: str
    """`__name__` of the series: godeltaprof_memory is sent as memory."""
    path: str
    """Path on the target, prefix included."""
    seconds: int | None
    """Length of the profile that is asked of the target; None: no `seconds` parameter."""
    cumulative: bool
    """The operator sends the difference to the previous scrape."""
    is_delta_label: bool
    """Whether `__delta__="false"` goes on the series: it holds differences, whoever made them."""

    custom: bool = False
    """A type that the object names itself."""

    @property
    def metric_type(self) -> str:
        """Label for metrics: users' own names would make their number unbounded."""
        return "custom" if self.custom else self.type

    @property
    def uses_cpu_profiler(self) -> bool:
        """A Go process has one CPU profiler and answers 500 to the second who asks."""
        return self.type == "process_cpu" or self.path.endswith("/pprof/profile")


@dataclass(frozen=True, slots=True)
class Scrape:
    """A target times a profile type, with its schedule and limits."""

    source: ObjectRef
    """The PyroscopeScrape that asks for it."""
    target: Target
    profile: ProfileRequest
    interval: float
    """Seconds."""
    timeout: float
    """Seconds, those of the profile included."""
    body_limit: int
    """Bytes, for the body as it comes and for the profile when uncompressed."""
    params: Params = ()
    follow_redirects: bool = True
    access: Access = DIRECT
    forward_to: tuple[ObjectRef, ...] = ()
    """The PyroscopeWrites that get its profiles; empty: the operator's default write."""

    key: str = field(init=False, repr=False, compare=False)
    """Identity: the target, the profile type, its path and parameters; not `seconds`."""
    _labels: Labels | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = _digest(self.target.key, self.profile.type, self.profile.path, self.params)
        object.__setattr__(self, "key", key)

    @property
    def labels(self) -> Labels:
        """Labels of the series: always the same object, made when it is first asked for."""
        if self._labels is not None:
            return self._labels
        extra = {NAME: self.profile.name}
        if self.profile.is_delta_label:
            extra[DELTA] = "false"
        made = self.target.labels.merged(extra)
        object.__setattr__(self, "_labels", made)
        return made

    @property
    def query(self) -> list[tuple[str, str]]:
        """Query parameters of the request, `seconds` included."""
        query = [(name, value) for name, values in self.params for value in values]
        if self.profile.seconds is not None:
            query.append(("seconds", str(self.profile.seconds)))
        return query

    @property
    def offset(self) -> float:
        return self.target.offset(self.interval)
