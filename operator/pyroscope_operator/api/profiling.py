"""Which profiles are taken from a target, and how."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import PathPrefix, ProfileName, UrlPath
from pyroscope_operator.model.target import ProfileRequest

BUILT_IN = (
    "process_cpu",
    "memory",
    "block",
    "mutex",
    "goroutine",
    "fgprof",
    "godeltaprof_memory",
    "godeltaprof_mutex",
    "godeltaprof_block",
)
"""Names of the built-in profile types, which no custom profile may have."""

Enabled = Annotated[bool, Field(description="Whether this profile is taken.")]
ProfilePath = Annotated[UrlPath, Field(description="Path of the profile on the target, behind pathPrefix.")]
Delta = Annotated[
    bool,
    Field(
        description="true: the request carries `seconds` (see deltaProfilingDuration), and the target measures for that long "
        "or sends the difference over that time."
    ),
]


class Memory(ApiModel):
    """Memory allocated and in use. Without delta, the operator sends the difference to the previous scrape."""

    enabled: Enabled = True
    path: ProfilePath = "/debug/pprof/allocs"
    delta: Delta = False


class Block(ApiModel):
    """Time spent waiting on synchronisation. Without delta, the operator sends the difference to the previous scrape."""

    enabled: Enabled = True
    path: ProfilePath = "/debug/pprof/block"
    delta: Delta = False


class Goroutine(ApiModel):
    """Stacks of all goroutines."""

    enabled: Enabled = True
    path: ProfilePath = "/debug/pprof/goroutine"
    delta: Delta = False


class Mutex(ApiModel):
    """Contention on mutexes. Without delta, the operator sends the difference to the previous scrape."""

    enabled: Enabled = True
    path: ProfilePath = "/debug/pprof/mutex"
    delta: Delta = False


class ProcessCpu(ApiModel):
    """CPU time.

    With `delta: false` the target chooses how long to measure (Go: 30s), which interval and scrapeTimeout must exceed.
    """

    enabled: Enabled = True
    path: ProfilePath = "/debug/pprof/profile"
    delta: Delta = True


class Fgprof(ApiModel):
    """Time spent on and off the CPU, as measured by fgprof in the target.

    With `delta: false` the target chooses how long to measure (30s), which interval and scrapeTimeout must exceed.
    """

    enabled: Enabled = False
    path: ProfilePath = "/debug/fgprof"
    delta: Delta = True


class GodeltaprofMemory(ApiModel):
    """Memory, with the difference made by godeltaprof in the target. Enabled, it takes the place of memory."""

    enabled: Enabled = False
    path: ProfilePath = "/debug/pprof/delta_heap"


class GodeltaprofMutex(ApiModel):
    """Mutexes, with the difference made by godeltaprof in the target. Enabled, it takes the place of mutex."""

    enabled: Enabled = False
    path: ProfilePath = "/debug/pprof/delta_mutex"


class GodeltaprofBlock(ApiModel):
    """Blocking, with the difference made by godeltaprof in the target. Enabled, it takes the place of block."""

    enabled: Enabled = False
    path: ProfilePath = "/debug/pprof/delta_block"


class CustomProfile(ApiModel):
    """A profile of your own, in pprof format."""

    name: ProfileName
    """Profile type: `__name__` of the series. Unique, and not the name of a built-in type."""
    enabled: Enabled
    path: ProfilePath
    delta: Delta = False
    cumulative: bool = False
    """true: the target counts since its start, and the operator sends the difference to the previous scrape. Excludes delta."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "name must not be that of a built-in profile type: choose another name, or change the built-in type's path",
            f"!(self.name in {list(BUILT_IN)})",
            lambda c: c.name not in BUILT_IN,
        ),
        Rule(
            "cumulative",
            "cumulative and delta exclude each other: either the operator or the target makes the difference",
            "!(self.cumulative && self.delta)",
            lambda c: not (c.cumulative and c.delta),
        ),
    )


class ProfilingConfig(ApiModel):
    """Which profiles are taken from each target, and where they are found."""

    path_prefix: PathPrefix | None = None
    """Put before the path of every profile, such as /internal. Absent: nothing."""
    memory: Memory = Memory()
    block: Block = Block()
    goroutine: Goroutine = Goroutine()
    mutex: Mutex = Mutex()
    process_cpu: ProcessCpu = Field(default=ProcessCpu(), alias="processCPU")
    fgprof: Fgprof = Fgprof()
    godeltaprof_memory: GodeltaprofMemory = GodeltaprofMemory()
    godeltaprof_mutex: GodeltaprofMutex = GodeltaprofMutex()
    godeltaprof_block: GodeltaprofBlock = GodeltaprofBlock()
    custom: Annotated[tuple[CustomProfile, ...], Field(max_length=20), Listed("map", ("name",))] = ()
    """Profiles of your own, beside the built-in ones."""

    def setting(self, kind: str) -> Any:
        """What is said of a profile type, or of a custom profile, by its name; there must be one."""
        return getattr(self, kind) if kind in BUILT_IN else next(c for c in self.custom if c.name == kind)

    def limited(self, types: Collection[str]) -> ProfilingConfig:
        """The same with these types and custom profiles enabled, and no others."""
        built_in = {kind: _switched(getattr(self, kind), kind in types) for kind in BUILT_IN}
        custom = tuple(_switched(c, c.name in types) for c in self.custom)
        return self.model_copy(update={**built_in, "custom": custom})

    def requests(self, delta_seconds: int) -> tuple[ProfileRequest, ...]:
        """The profiles to take; those with delta carry `delta_seconds`."""
        return (*self._differences(delta_seconds), *self._measurements(delta_seconds), *self._own(delta_seconds))

    def _differences(self, delta_seconds: int) -> Iterator[ProfileRequest]:
        """Types that count since the start of the target; at most one of each pair, or it would be counted twice."""
        for name, plain, made_by_target in (
            ("memory", self.memory, self.godeltaprof_memory),
            ("block", self.block, self.godeltaprof_block),
            ("mutex", self.mutex, self.godeltaprof_mutex),
        ):
            if made_by_target.enabled:
                yield ProfileRequest(f"godeltaprof_{name}", name, self._full(made_by_target.path), None, False, True)
            elif plain.enabled:
                seconds = delta_seconds if plain.delta else None
                yield ProfileRequest(name, name, self._full(plain.path), seconds, not plain.delta, True)

    def _measurements(self, delta_seconds: int) -> Iterator[ProfileRequest]:
        """Types that hold what was measured during the request, or at its time."""
        for name, config in (("goroutine", self.goroutine), ("process_cpu", self.process_cpu), ("fgprof", self.fgprof)):
            if config.enabled:
                seconds = delta_seconds if config.delta else None
                yield ProfileRequest(name, name, self._full(config.path), seconds, False, False)

    def _own(self, delta_seconds: int) -> Iterator[ProfileRequest]:
        for c in self.custom:
            if c.enabled:
                seconds = delta_seconds if c.delta else None
                yield ProfileRequest(c.name, c.name, self._full(c.path), seconds, c.cumulative, c.cumulative, custom=True)

    def _full(self, path: str) -> str:
        return (self.path_prefix or "") + path


def _switched(setting: Any, enabled: bool) -> Any:
    return setting if setting.enabled == enabled else setting.model_copy(update={"enabled": enabled})
