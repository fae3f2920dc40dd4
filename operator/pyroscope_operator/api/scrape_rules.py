"""What must hold between the fields of a PyroscopeScrape's spec."""

from __future__ import annotations

import re
from typing import Any

from pyroscope_operator.api import duration
from pyroscope_operator.api.base import Rule

LONGEST = duration.render(duration.MAX_SECONDS)
TARGETS_OWN_SECONDS = 30
"""How long Go measures when a request for a CPU profile carries no `seconds`."""

_WHOLE_SECONDS = "^([0-9]+[smh])+$"
_P = "self.profilingConfig"
_DELTA_IS_ON = " || ".join(
    [f"{_P}.{name}.enabled && {_P}.{name}.delta" for name in ("processCPU", "fgprof", "goroutine")]
    + [
        f"{_P}.{name}.enabled && {_P}.{name}.delta && !{_P}.godeltaprof{name.title()}.enabled"
        for name in ("memory", "mutex", "block")
    ]
    + [f"has({_P}.custom) && {_P}.custom.exists(c, c.enabled && c.delta)"]
)
"""CEL: some request carries `seconds`."""


def _whole_seconds(spec: Any) -> bool:
    text = spec.delta_profiling_duration
    return text is None or re.fullmatch(_WHOLE_SECONDS, text) is not None


def _fits_interval(spec: Any) -> bool:
    text = spec.delta_profiling_duration
    return text is None or 1 <= duration.parse(text) <= spec.interval_seconds - 1


def _leaves_room(spec: Any) -> bool:
    return spec.interval_seconds >= 2 or all(request.seconds is None for request in spec.profiling_config.requests(1))


def _own_length(name: str, attribute: str) -> Rule:
    """The rule for a CPU-like profile whose length the target chooses."""

    def holds(spec: Any) -> bool:
        config = getattr(spec.profiling_config, attribute)
        longer = min(spec.interval_seconds, spec.timeout_seconds) > TARGETS_OWN_SECONDS
        return longer or config.delta or not config.enabled

    limit = f"duration('{TARGETS_OWN_SECONDS}s')"
    return Rule(
        f"profilingConfig.{name}.delta",
        f"{name} with delta: false runs as long as the target chooses (Go: {TARGETS_OWN_SECONDS}s): raise interval and "
        f"scrapeTimeout above {TARGETS_OWN_SECONDS}s or remove delta: false",
        f"!{_P}.{name}.enabled || {_P}.{name}.delta || "
        f"duration(self.interval) > {limit} && duration(self.scrapeTimeout) > {limit}",
        holds,
    )


SCRAPE_RULES = (
    Rule(
        "selector",
        "at least one of selector and staticTargets must be set: add selector ({} stands for all pods of the namespace)",
        "has(self.selector) || has(self.staticTargets) && size(self.staticTargets) > 0",
        lambda s: s.selector is not None or bool(s.static_targets),
    ),
    Rule(
        "params",
        "params must not have the key seconds: set deltaProfilingDuration instead",
        "!has(self.params) || !('seconds' in self.params)",
        lambda s: "seconds" not in s.params,
    ),
    Rule(
        "interval",
        f"interval must be from 1s to {LONGEST}",
        f"duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('{LONGEST}')",
        lambda s: 1 <= s.interval_seconds <= duration.MAX_SECONDS,
    ),
    Rule(
        "scrapeTimeout",
        f"scrapeTimeout must be above 0s and at most {LONGEST}",
        f"duration(self.scrapeTimeout) > duration('0s') && duration(self.scrapeTimeout) <= duration('{LONGEST}')",
        lambda s: 0 < s.timeout_seconds <= duration.MAX_SECONDS,
    ),
    Rule(
        "deltaProfilingDuration",
        "deltaProfilingDuration must be in whole seconds, such as 10s or 1m30s, without fractions and ms",
        f"!has(self.deltaProfilingDuration) || self.deltaProfilingDuration.matches('{_WHOLE_SECONDS}')",
        _whole_seconds,
    ),
    Rule(
        "deltaProfilingDuration",
        "deltaProfilingDuration must be from 1s to interval minus 1s: lower it or raise interval",
        "!has(self.deltaProfilingDuration) || duration(self.deltaProfilingDuration) >= duration('1s') && "
        "duration(self.deltaProfilingDuration) <= duration(self.interval) - duration('1s')",
        _fits_interval,
    ),
    Rule(
        "interval",
        "interval must be at least 2s when a profile with delta: true is enabled: raise interval or disable these profiles",
        f"duration(self.interval) >= duration('2s') || !({_DELTA_IS_ON})",
        _leaves_room,
    ),
    _own_length("processCPU", "process_cpu"),
    _own_length("fgprof", "fgprof"),
)
