"""An answer of `/api/v1/explain` for a person on call: the answer, then why, then what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

_WIDTH = 118
_HEAD = ("PROFILE", "STATE", "LAST", "NEXT", "TOOK", "ERROR")
_ONE_LINE = frozenset({"NotSelected", "Elsewhere"})
_NEVER = "never"
_UNSEEN = "pods that have ended (Succeeded, Failed) are not watched, nor namespaces that the operator may not see"

_Json = Mapping[str, Any]


def as_text(answer: _Json, *, labels: bool = False) -> str:
    """`labels`: also those that only relabelings see."""
    lines = [*_summary(answer)]
    if not answer["found"]:
        return "\n".join(map(_printable, lines)) + "\n"
    now = datetime.fromisoformat(answer["now"])
    for view in answer["objects"]:
        lines += [] if view["outcome"] in _ONE_LINE else ["", *_object(view, now, labels=labels)]
    lines += _others([view for view in answer["objects"] if view["outcome"] in _ONE_LINE], answer.get("notShown", {}))
    lines += ["", *_row("do", _mend(answer))] if not answer["counts"]["selecting"] else []
    return "\n".join(map(_printable, lines)) + "\n"


def _printable(line: str) -> str:
    """Values come from tenants, and a terminal obeys what it is told."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _summary(answer: _Json) -> Iterator[str]:
    what = f"pod/{answer['name']} in namespace {answer['namespace']}" if answer["kind"] == "pod" else f"target {answer['name']}"
    if not answer["found"]:
        yield from _not_found(answer, what)
        return
    yield f"{what} {_verdict(answer)}"
    pod = answer.get("pod")
    if pod:
        ports = ", ".join(f"{p['container']} {p['number']}{' ' + p['name'] if p['name'] else ''}" for p in pod["ports"]) or "none"
        ready = "ready" if pod["ready"] else "not ready"
        yield from _row("pod", f"{pod['phase']}, {ready}, IP {pod['ip'] or 'none'}, ports: {ports}")
        yield from _row("labels", _labels(pod["labels"]) or "none")


def _verdict(answer: _Json) -> str:
    objects = answer["objects"]
    scraping = [view for view in objects if view["outcome"] == "Scraped"]
    if scraping:
        return "is scraped by " + " and ".join(f"{_name(view)} ({view['message']})" for view in scraping)
    if not answer["counts"]["selecting"]:
        return f"is not scraped: none of {answer['counts']['objects']} PyroscopeScrapes {_means(answer)} it"
    first = objects[0]
    if first["outcome"] == "NotAccepted":
        return f"is not scraped: {_name(first)} is not accepted: {first['reason']}"
    return f"is not scraped: {_name(first)} {_means(answer)} it, but: {first['reason']}"


def _means(answer: _Json) -> str:
    return "selects" if answer["kind"] == "pod" else "names"


def _not_found(answer: _Json, what: str) -> Iterator[str]:
    if answer["kind"] == "target":
        yield f"no PyroscopeScrape names the {what} in spec.staticTargets"
        return
    yield f"there is no {what}: the operator knows {answer['podsInNamespace']} pods there"
    yield from _row("alike", ", ".join(answer["alike"]))
    if answer["inNamespaces"]:
        yield from _row("elsewhere", f"a pod of this name is in {', '.join(answer['inNamespaces'])}: set -n")
    yield from _row(
        "note", "pods that have ended (Succeeded, Failed) are not watched, nor namespaces that the operator may not see"
    )


def _object(view: _Json, now: datetime, *, labels: bool) -> Iterator[str]:
    scraped = view["outcome"] == "Scraped"
    yield f"{_name(view)}  {'scraped' if scraped else 'not scraped: ' + view['reason']}"
    for target in view.get("targets", ()):
        yield from _target(target, now, before=labels or bool(view.get("relabelings")), every=labels)
    if scraped and view["delivering"]["status"] == "False":
        yield from _row("delivery", f"{view['delivering']['reason']}: {view['delivering']['message']}")
    yield from _lost(view.get("duplicates", ()))
    yield from _dropped(view)
    yield from _row("do", _advice(view))


def _target(target: _Json, now: datetime, *, before: bool, every: bool) -> Iterator[str]:
    container = f", container {target['container']}" if target["container"] else ""
    yield from _row("target", f"{target['scheme']}://{target['address']}{container}")
    rows = [_HEAD, *(_scrape(scrape, now) for scrape in target["scrapes"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if before:
        found = target["discoveredLabels"]
        yield from _row("before", _labels(found if every else {n: v for n, v in found.items() if not n.startswith("__")}))
    yield from _row("labels", _labels(target["labels"]))


def _scrape(scrape: _Json, now: datetime) -> tuple[str, ...]:
    tried = scrape["lastScrape"] is not None
    return (
        scrape["profile"],
        scrape["state"] if tried else "not yet tried",
        _ago(scrape["lastScrape"], now),
        _ahead(scrape["nextScrape"], now),
        _lasted(scrape["durationSeconds"]) if tried else "",
        f"{scrape['reason']}: {scrape['message']}" if scrape["state"] == "down" else "",
    )


def _lasted(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def _ago(moment: str | None, now: datetime) -> str:
    return _NEVER if moment is None else f"{max(0.0, (now - datetime.fromisoformat(moment)).total_seconds()):.0f} s ago"


def _ahead(moment: str, now: datetime) -> str:
    """A scrape that runs had its slot before now."""
    seconds = (datetime.fromisoformat(moment) - now).total_seconds()
    return f"in {seconds:.0f} s" if seconds > 0 else "now"


def _lost(duplicates: Sequence[_Json]) -> Iterator[str]:
    """What others scrape, put together by whom."""
    groups: dict[str, list[str]] = {}
    for one in duplicates:
        winner, why = _name(one["winner"]), one["why"]
        same = one["winner"]["profile"] == one["profile"]
        beside = "" if same else f" its {one['winner']['profile']} (a process takes one CPU profile at a time)"
        groups.setdefault(f"{winner} scrapes {'them' if same else beside.strip()}: {why}", []).append(one["profile"])
    for text, profiles in groups.items():
        yield from _row("duplicate", f"{', '.join(profiles)}: {text}")


def _dropped(view: _Json) -> Iterator[str]:
    drops = view.get("drops", ())
    for drop in drops:
        yield from _row("why", drop["message"] if drop["reason"] == view["reason"] else f"{drop['reason']}: {drop['message']}")
        if step := dict(drop.get("step", {})):
            index = step.pop("index")
            yield from _row("step", f"relabelings[{index}]: {', '.join(f'{k}: {_plain(v)}' for k, v in step.items())}")
    if not drops and view["outcome"] not in {"Scraped", "Duplicate"}:
        yield from _row("why", view["message"])


def _plain(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _advice(view: _Json) -> str:
    match view["outcome"]:
        case "Scraped" if any(s["state"] == "down" for target in view["targets"] for s in target["scrapes"]):
            return "look at the pod; docs/status.md says what each reason means"
        case "Scraped" if view["delivering"]["status"] == "False":
            return "look at Pyroscope, and at the PyroscopeWrite"
        case "Duplicate":
            return "nothing is missing, it has the winner's labels; to end it, narrow a selector or delete one of the objects"
    return str(view["advice"])


def _mend(answer: _Json) -> str:
    """What to do when no object means it."""
    if any(view["outcome"] == "NotSelected" for view in answer["objects"]):
        return "give its pod template the labels that one of these wants, or change that selector"
    return f"create a PyroscopeScrape in namespace {answer['namespace']} that selects it, such as docs/examples has"


def _others(views: Sequence[_Json], hidden: Mapping[str, int]) -> Iterator[str]:
    """Objects that have nothing to do with it, in a line each, and how many more there are."""
    if views:
        width = max(len(_name(view)) for view in views)
        yield from ("", "other PyroscopeScrapes, the nearest first" if len(views) > 1 else "another PyroscopeScrape")
        for view in views:
            yield f"  {_name(view).ljust(width)}  {view['message']}"
    texts = {
        "selecting": "select it",
        "notSelecting": "look at its namespace and don't select it",
        "elsewhere": "have nothing to do with it",
    }
    if counted := [f"{hidden[key]} {text}" for key, text in texts.items() if hidden.get(key)]:
        yield from ("", f"PyroscopeScrapes not shown (--all lists them): {', '.join(counted)}")


def _name(of: _Json) -> str:
    return f"{of['namespace']}/{of['name']}"


def _labels(labels: Mapping[str, str]) -> str:
    return " ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))


def _row(head: str, text: str) -> list[str]:
    """Nothing for an empty text."""
    first, rest = f"  {head.ljust(9)} ", " " * 12
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
