"""Grouped bars as SVG, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 420, 300
_LEFT, _TOP, _BOTTOM = 46, 52, 56
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 13px }
.grid { stroke: #d0d7de } .bar0 { fill: #2f6fde } .bar1 { fill: #d9822b }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .grid { stroke: #3d444d } .bar0 { fill: #6ea8fe } .bar1 { fill: #f0a860 } }
"""


@dataclass(frozen=True)
class Panel:
    """One diagram."""

    title: str
    groups: Sequence[str]
    """Below the axis."""
    axis: str
    """What the groups are."""
    bars: Sequence[Sequence[float | None]]
    """For each group one value of each of the names; None: there is none."""


def svg(panels: Sequence[Panel], names: Sequence[str]) -> str:
    """The panels side by side; `names` of the bars, the same in all of them."""
    width = _WIDTH * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title><style>{_STYLE}</style>",
    ]
    for number, panel in enumerate(panels):
        lines += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel), "</g>"]
    for number, name in enumerate(names):
        x = _LEFT + 120 * number
        lines.append(f'<rect class="bar{number}" x="{x}" y="{_HEIGHT - 16}" width="11" height="11" rx="2"/>')
        lines.append(f'<text x="{x + 16}" y="{_HEIGHT - 6}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def step(most: float) -> float:
    """Distance of the lines of a grid: 1, 2 or 5 times a power of ten, four to ten lines."""
    power = 10.0 ** math.floor(math.log10(most)) if most > 0 else 1.0
    return next(power * part for part in (0.2, 0.5, 1.0, 2.0) if most / (power * part) <= 8)


def _panel(panel: Panel) -> Iterator[str]:
    most = max((value for group in panel.bars for value in group if value is not None), default=1.0) or 1.0
    each = step(most)
    lines = math.ceil(most / each)
    height = _HEIGHT - _TOP - _BOTTOM
    scale = height / (lines * each)
    yield f'<text class="title" x="{_LEFT}" y="24">{escape(panel.title)}</text>'
    for line in range(lines + 1):
        y = _TOP + height - line * each * scale
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{line * each:.4g}</text>'
    room = (_WIDTH - 20 - _LEFT) / len(panel.groups)
    for number, (group, values) in enumerate(zip(panel.groups, panel.bars, strict=True)):
        left, bar = _LEFT + number * room + 0.14 * room, 0.72 * room / len(values)
        for place, value in enumerate(values):
            if value is not None:
                yield from _bar(place, left + place * bar, bar, _TOP + height, value, scale)
        yield f'<text x="{left + 0.36 * room:.1f}" y="{_TOP + height + 16}" text-anchor="middle">{escape(group)}</text>'
    yield f'<text x="{_WIDTH - 20}" y="{_TOP + height + 32}" text-anchor="end">{escape(panel.axis)}</text>'


def _bar(place: int, x: float, width: float, bottom: float, value: float, scale: float) -> Iterator[str]:
    top = bottom - value * scale
    yield f'<rect class="bar{place}" x="{x:.1f}" y="{top:.1f}" width="{width - 2:.1f}" height="{value * scale:.1f}"/>'
    yield f'<text x="{x + width / 2 - 1:.1f}" y="{top - 4:.1f}" text-anchor="middle">{value:.3g}</text>'
