"""Where a field stands in a manifest, found by looking at the text alone: what `check` prints is compared with it."""

from __future__ import annotations

import re


def line_of(text: str, path: str) -> int:
    """Line (from 1) of `path` in `text` as yaml.safe_dump writes it; of the nearest thing around it, if it is missing."""
    lines = text.splitlines()
    first, end, indent, found = 0, len(lines), "", 0
    for part in re.findall(r"[^.\[\]]+", path):
        if part.isdigit():
            starts = [n for n in range(first, end) if lines[n].startswith(f"{indent}- ")]
            if int(part) >= len(starts):
                break
            found, end = starts[int(part)], [*starts, end][int(part) + 1]
            lines[found] = lines[found].replace("- ", "  ", 1)
            first, indent = found, f"{indent}  "
        else:
            starts = [n for n in range(first, end) if re.match(rf"{indent}(\? )?{re.escape(part)}", lines[n])]
            if not starts:
                break
            found = starts[0]
            inner = rf"{indent}(  |- )"
            end = next((n for n in range(found + 1, end) if not re.match(inner, lines[n])), end)
            first = found + 1
            indent = indent if first < end and lines[first].startswith(f"{indent}- ") else f"{indent}  "
    return found + 1
