"""The command line: what is said when something is wrong, and that no secret is ever said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pyroscope_operator import cli
from pyroscope_operator.api.kinds import SCRAPE
from pyroscope_operator.cli import read_settings
from pyroscope_operator.errors import ManifestError, SettingsError
from pyroscope_operator.model.access import basic
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS
from pyroscope_operator.settings import Settings
from pyroscope_operator.standalone import read_manifests

_URL = "--pyroscope-url=http://pyroscope:4040"
_SECRET = "geheim-4711"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PYROSCOPE")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("arguments", "environment", "name", "value"),
    [
        ([], {"PYROSCOPE_URL": "http://env"}, "pyroscope_url", "http://env"),
        (["--pyroscope-url=http://flag"], {"PYROSCOPE_URL": "http://env"}, "pyroscope_url", "http://flag"),
        ([_URL], {"PYROSCOPE_OPERATOR_LISTEN": ":9"}, "listen", ":9"),
        ([_URL, "--listen=:8"], {"PYROSCOPE_OPERATOR_LISTEN": ":9"}, "listen", ":8"),
        ([_URL], {"PYROSCOPE_OPERATOR_PRIVILEGED_NAMESPACES": "a,b"}, "privileged_namespaces", ["a", "b"]),
        ([_URL, "--privileged-namespaces=a", "--privileged-namespaces=b"], {}, "privileged_namespaces", ["a", "b"]),
        ([_URL, "--write-headers", "a=b", "--write-headers", "c=d"], {}, "write_headers", {"a": "b", "c": "d"}),
        ([_URL, "--no-write-retry-on-http-429"], {}, "write_retry_on_http_429", False),
        ([_URL], {}, "body_size_limit", "16MiB"),
        ([_URL], {}, "watch_namespaces", None),
        (
            [_URL, "--watch-namespaces=a,b", "--watch-namespaces", "c", "--watch-namespaces=a"],
            {},
            "watch_namespaces",
            ["a", "b", "c"],
        ),
        ([_URL], {"PYROSCOPE_OPERATOR_WATCH_NAMESPACES": "a, b"}, "watch_namespaces", ["a", "b"]),
        (["--watch-namespaces=a,b", "--default-write=b/main"], {}, "default_write", "b/main"),
        ([_URL], {}, "target_limit", 10_000),
        ([_URL, "--target-limit=50"], {}, "target_limit", 50),
        ([_URL, "--min-interval=1m"], {}, "min_interval", "1m"),
    ],
)
def test_settings(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], name: str, value: object
) -> None:
    for key, text in environment.items():
        monkeypatch.setenv(key, text)
    assert getattr(read_settings(arguments), name) == value


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--write-tenant-id=a"], "write-tenant-id needs pyroscope-url"),
        (["--default-write=shop/main", _URL], "default-write and pyroscope-url exclude each other"),
        (["--default-write=shop/main", "--write-tenant-id=a"], "default-write and write-tenant-id exclude each other"),
        (["--default-write=main"], "NAMESPACE/NAME"),
        (["--default-write=A/b/c"], "--default-write"),
        ([_URL, "--queue-memory=1MiB"], "queue-memory must be at least queue-size"),
        ([_URL, "--sweep-period=often"], "--sweep-period"),
        ([_URL, "--queue-size=big"], "--queue-size"),
        ([_URL, "--target-limit=0"], "--target-limit"),
        ([_URL, "--min-interval=999ms"], "--min-interval"),
        ([_URL, "--min-interval=25h"], "--min-interval"),
        ([_URL, "--listen=8080"], "--listen"),
        ([_URL, "--standalone"], "FILE"),
        ([_URL, "--standalone", "some.yaml", "--watch-namespaces=a"], "watch-namespaces is for a cluster"),
        ([_URL, "--watch-namespaces=A"], "--watch-namespaces"),
        ([_URL, "--watch-namespaces", ","], "names no namespace"),
        ([_URL, f"--watch-namespaces={'a' * 64}"], "--watch-namespaces"),
        ([_URL, f"--watch-namespaces={','.join(f'n{n}' for n in range(101))}"], "at most 100 namespaces"),
        (["--watch-namespaces=a,b", "--default-write=c/main"], "default-write must be in one of watch-namespaces"),
        ([_URL, "some.yaml"], "--standalone"),
        ([_URL, "--secrets-dir", "/tmp"], "--standalone"),
        ([_URL, "--configmaps-dir", "/tmp"], "--standalone"),
        ([_URL, f"--write-password={_SECRET}"], "PYROSCOPE_OPERATOR_WRITE_PASSWORD"),
        ([_URL, "--write-bearer-token", _SECRET], "--write-bearer-token-file"),
    ],
)
def test_wrong_settings_are_named(arguments: list[str], named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments)
    assert named in caught.value.message
    assert _SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--pyroscope-url=ftp://x"], {}, "http(s)"),
        ([f"--pyroscope-url=http://me:{_SECRET}@x"], {}, "credentials"),
        ([_URL, "--write-username=me"], {}, "write-password"),
        ([_URL], {"PYROSCOPE_OPERATOR_WRITE_PASSWORD": _SECRET}, "write-username"),
        ([_URL, "--write-bearer-token-file=/nonexistent"], {}, "--write-bearer-token-file"),
    ],
)
def test_wrong_endpoints_are_named(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    for key, text in environment.items():
        monkeypatch.setenv(key, text)
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments).endpoint()
    assert named in caught.value.message
    assert _SECRET not in str(caught.value)


def test_secrets_from_files_and_environment_never_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{_SECRET}\n")
    settings = read_settings([_URL, f"--write-bearer-token-file={tmp_path / 'token'}"])
    assert authorization(settings) == f"Bearer {_SECRET}"
    monkeypatch.setenv("PYROSCOPE_OPERATOR_WRITE_PASSWORD", _SECRET)
    other = read_settings([_URL, "--write-username=me"])
    assert authorization(other) == basic("me", _SECRET)
    assert _SECRET not in repr(settings) + repr(settings.endpoint()) + repr(other) + repr(other.endpoint())


def test_the_default_write() -> None:
    assert read_settings([_URL]).default == FLAGS
    assert read_settings([]).default is None
    assert read_settings([]).endpoint() is None
    assert read_settings(["--default-write=shop/main"]).default == ObjectRef("shop", "main")
    assert read_settings(["--default-write=main", "--standalone", "a.yaml"]).default == ObjectRef("default", "main")


def authorization(settings: Settings) -> str | None:
    endpoint = settings.endpoint()
    assert endpoint is not None
    return endpoint.access.authorization


def test_crds_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["crds"]) == 0
    crds = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [crd["kind"] for crd in crds] == ["CustomResourceDefinition"] * 2
    assert cli.main(["--version"]) == 0
    assert cli.main(["nonsense"]) == 2
    assert cli.main([]) == 0


_OBJECT = "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrape\nmetadata: {name: a}\nspec: {}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: [x", "file.yaml:1"),
        (_OBJECT + "---\n" + _OBJECT, "default/a is there twice"),
        ("kind: Pod\n", "every document must be a PyroscopeScrape"),
        ("- 1\n", "every document must be a PyroscopeScrape"),
        ("kind: PyroscopeScrape\nmetadata: {}\n", "metadata.name"),
        (None, "No such file"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "file.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ManifestError) as caught:
        read_manifests([path])
    assert message in caught.value.message


def test_files_with_several_documents(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(f"---\n{_OBJECT}---\n{_OBJECT.replace('name: a', 'name: b, namespace: ns')}---\n")
    assert list(read_manifests([path])) == [(SCRAPE, ObjectRef("default", "a")), (SCRAPE, ObjectRef("ns", "b"))]


def _process(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pyroscope_operator", "run", _URL, "--listen=127.0.0.1:0", *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "no cluster"),
        (("--standalone", "missing.yaml"), 2, "missing.yaml"),
        (("--listen=256.0.0.1:1",), 2, "--listen"),
    ],
)
def test_start_that_fails(tmp_path: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    process = _process(tmp_path, *arguments)
    _, log = process.communicate(timeout=30)
    assert process.returncode == code
    assert message in log
    assert "Traceback" not in log


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(tmp_path: Path, signum: int) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(_OBJECT.replace("spec: {}", 'spec: {staticTargets: [{address: "127.0.0.1:1"}]}'))
    process = _process(tmp_path, "--standalone", str(path))
    assert process.stderr is not None
    while "started" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signum)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped" in log
