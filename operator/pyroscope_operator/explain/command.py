"""The command line of `explain`."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from pyroscope_operator.explain.text import as_text

_PORT = 8080
_TIMEOUT = 15.0
_LARGEST = 64 << 20
"""Bytes of an answer."""
_PODS = frozenset({"pod", "pods", "po"})

_DESCRIPTION = """\
Says for each PyroscopeScrape why a pod is or isn't scraped by it, how its scrapes go, and which labels its profiles get.
The running operator is asked, so run this in its pod:

  kubectl exec -n OPERATORS-NAMESPACE deploy/pyroscope-operator -- pyroscope-operator explain pod/checkout-7d -n shop

or anywhere else, with the operator's port forwarded:

  kubectl port-forward -n OPERATORS-NAMESPACE deploy/pyroscope-operator 8080
"""
_EPILOG = """\
exit code:
  0  something scrapes it
  1  nothing scrapes it, or it doesn't exist
  2  the command line is wrong, or no operator answers
"""


class Question(NamedTuple):
    """What is asked about: `pod/NAME` or `target/HOST:PORT`."""

    kind: str
    name: str


class NoAnswer(Exception):
    """The operator can't be asked; the text says what to do."""


def run(arguments: Sequence[str], listen: str = "") -> int:
    """Ask, print the answer, return the exit code. `listen` is the setting of an operator that runs here, if it is known."""
    options = _parser(listen).parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a message must not fail because of the terminal
    try:
        answer = _asked(options)
    except NoAnswer as error:
        sys.stderr.write(f"pyroscope-operator: {error}\n")
        return 2
    _print(json.dumps(answer, indent=2) + "\n" if options.output == "json" else as_text(answer, labels=options.labels))
    return 0 if answer["scraped"] else 1


def operator_url(listen: str) -> str:
    """Where an operator that listens at `[host]:port` is reached from its own machine."""
    host, _, port = listen.rpartition(":")
    wildcard = host.strip("[]") in {"", "0.0.0.0", "::"}  # noqa: S104 - nothing is bound
    return f"http://{'127.0.0.1' if wildcard else host}:{port if port not in {'', '0'} else _PORT}"


def _parser(listen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyroscope-operator explain",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    what = "pod/NAME, or target/HOST:PORT for a static target"
    add("question", metavar="pod/NAME", type=_question, help=what)
    add("-n", "--namespace", default="default", help="namespace of the pod (default: default)")
    add("-o", "--output", choices=("text", "json"), default="text", help="for people (the default), or for programs")
    add("--all", action="store_true", dest="everything", help="list also the objects that have nothing to do with it")
    add("--labels", action="store_true", help="all labels that relabelings see, the __meta_… ones among them")
    where = operator_url(listen)
    add("--operator", metavar="URL", type=_url, default=where, help=f"the operator's own server (default: {where})")
    return parser


def _question(text: str) -> Question:
    kind, slash, name = text.partition("/")
    if not slash:
        kind, name = "pod", text
    if not name or kind not in {*_PODS, "target"}:
        raise argparse.ArgumentTypeError("must be pod/NAME, or target/HOST:PORT for a static target")
    return Question("pod" if kind in _PODS else kind, name)


def _url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise argparse.ArgumentTypeError("must be http(s)://host[:port]")
    return text.rstrip("/")


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The operator's answer. Raises NoAnswer."""
    question: Question = options.question
    about = {"address": question.name} if question.kind == "target" else {"namespace": options.namespace, "pod": question.name}
    params = {**about, **({"all": "true"} if options.everything else {})}
    try:
        with (
            httpx.Client(trust_env=False, timeout=_TIMEOUT) as client,
            client.stream("GET", f"{options.operator}/api/v1/explain", params=params) as response,
        ):
            body = _read(response)
    except httpx.HTTPError as error:
        raise NoAnswer(_nobody(options, error)) from None
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not ("scraped" in answer or "error" in answer):
        raise NoAnswer(f"what answers at {options.operator} is no pyroscope-operator that can explain: correct --operator")
    if "error" in answer:
        raise NoAnswer(f"the operator at {options.operator} can't tell: {answer['error']}")
    return answer


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _LARGEST:
            break
    return bytes(body)


def _nobody(options: argparse.Namespace, error: httpx.HTTPError) -> str:
    question, port = options.question, urlsplit(options.operator).port or _PORT
    where = f" -n {options.namespace}" if question.kind == "pod" else ""
    why = "no answer in time" if isinstance(error, httpx.TimeoutException) else "nobody listens there, or it is no HTTP"
    return (
        f"no operator at {options.operator}: {why}. Run this in the operator's pod,\n"
        "  kubectl exec -n OPERATORS-NAMESPACE deploy/pyroscope-operator -- "
        f"pyroscope-operator explain {question.kind}/{question.name}{where}\n"
        "or forward its port and run this again:\n"
        f"  kubectl port-forward -n OPERATORS-NAMESPACE deploy/pyroscope-operator {port}:8080"
    )


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `explain … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
