"""The command line.

pyroscope-operator run [flags]                     the operator
pyroscope-operator run --standalone FILE… [flags]  the same without Kubernetes
pyroscope-operator check FILE…                     checks our objects in files, without a cluster
pyroscope-operator explain pod/NAME -n NAMESPACE   why a pod is or isn't scraped, from the running operator
pyroscope-operator crds                            prints the CRDs
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence

import uvloop
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import CliApp
from pydantic_settings import SettingsError as CliError

from pyroscope_operator import __version__, app, log
from pyroscope_operator.api import crd
from pyroscope_operator.check import command as check
from pyroscope_operator.errors import ManifestError, OperatorError, SettingsError
from pyroscope_operator.explain import command as explain
from pyroscope_operator.settings import PREFIX, Settings
from pyroscope_operator.transport.loop import Loop

_LOG = logging.getLogger(__name__)
_SECRETS = ("write-password", "write-bearer-token")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 fine, 1 failed or found wrong, 2 wrong settings or files."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    match command:
        case "run":
            return _run(rest)
        case "check":
            return check.run(rest)
        case "explain":
            return explain.run(rest, os.environ.get(f"{PREFIX}LISTEN", ""))
        case "crds":
            sys.stdout.write("---\n".join(crd.documents().values()))
            return 0
        case "--version":
            sys.stdout.write(f"pyroscope-operator {__version__}\n")
            return 0
    sys.stdout.write(__doc__ or "")
    return 0 if command in {"--help", "-h", "help"} else 2


def _run(arguments: list[str]) -> int:
    try:
        settings = read_settings(arguments)
        settings.endpoint()
    except SettingsError as error:
        return _wrong([error.message])
    log.configure(settings.log_level, settings.log_format)
    errors: list[OperatorError] = []
    crashed = False
    try:
        uvloop.run(app.run(settings), loop_factory=Loop)
    except* OperatorError as group:
        errors += _leaves(group)
    except* Exception:
        _LOG.critical("the operator failed: this is a bug", exc_info=True)
        crashed = True
    for failure in errors:
        _LOG.error("%s", failure, extra={"reason": failure.reason})
    if not errors:
        return 1 if crashed else 0
    return 2 if not crashed and all(isinstance(failure, SettingsError | ManifestError) for failure in errors) else 1


def read_settings(arguments: Sequence[str]) -> Settings:
    """Settings from flags and environment. Raises SettingsError that names the flag, never its value."""
    for name in _SECRETS:
        if any(argument.split("=")[0] == f"--{name}" for argument in arguments):
            variable = PREFIX + name.upper().replace("-", "_")
            raise SettingsError(f"--{name} would be seen in the process list: use --{name}-file or {variable}")
    try:
        return CliApp.run(Settings, cli_args=list(arguments))
    except ValidationError as error:
        raise SettingsError("; ".join(map(_problem, error.errors(include_input=False)))) from None
    except CliError as error:
        raise SettingsError(_without_values(str(error))) from None


def _problem(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0]).replace("_", "-").lower() if detail["loc"] else ""
    if detail["type"] == "missing":
        return f"--{name} is required: set it, or {name.upper().replace('-', '_')} in the environment"
    text = detail["msg"].removeprefix("Value error, ")
    return f"--{name}: {text}" if name else text


def _without_values(text: str) -> str:
    """The parser's message without what was given for a flag it does not know: that may be a secret."""
    text = text.removeprefix("error parsing CLI: ")
    _, unknown, words = text.partition("unrecognized arguments: ")
    if not unknown:
        return text
    flags = [word.split("=")[0] for word in words.split() if word.startswith("-")]
    return f"unknown flag {', '.join(flags)}: see run --help" if flags else "FILES must stand side by side"


def _leaves(group: BaseExceptionGroup[OperatorError]) -> Iterable[OperatorError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _wrong(problems: Iterable[str]) -> int:
    for problem in problems:
        sys.stderr.write(f"pyroscope-operator: {problem}\n")
    return 2
