"""Values that flags and environment may have, and what is said of those they may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyroscope_operator import cli
from pyroscope_operator.cli import read_settings
from pyroscope_operator.errors import SettingsError

URL = "--pyroscope-url=http://pyroscope:4040"
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PYROSCOPE_URL", "POD_NAMESPACE", "POD_NAME", "PYROSCOPE_OPERATOR_LISTEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def wrong(*arguments: str) -> str:
    """What is said of these flags."""
    with pytest.raises(SettingsError) as caught:
        read_settings([URL, *arguments]).endpoint()
    assert SECRET not in str(caught.value)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", {"a": "1"}),
        ("a=1, b = 2", {"a": "1", "b": "2"}),
        ("a=x=y", {"a": "x=y"}),
        ('{"a": "1,2"}', {"a": "1,2"}),
    ],
)
def test_maps_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, value: dict[str, str]) -> None:
    monkeypatch.setenv("PYROSCOPE_OPERATOR_WRITE_HEADERS", text)
    monkeypatch.setenv("PYROSCOPE_OPERATOR_WRITE_EXTERNAL_LABELS", text)
    settings = read_settings([URL])
    assert settings.write_headers == settings.write_external_labels == value


@pytest.mark.parametrize("text", [SECRET, f"={SECRET}", f'{{"{SECRET}', '{"a": 1}', f"a=1,{SECRET}"])
def test_maps_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PYROSCOPE_OPERATOR_WRITE_HEADERS", text)
    assert "--write-headers" in wrong()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--write-pass", SECRET), "--write-pass"),
        ((f"--write-pass={SECRET}",), "--write-pass"),
        (("--write_password", SECRET), "--write_password"),
        ((f"--bearer-token={SECRET}",), "--bearer-token"),
        ((f"--write-headers=Authorization={SECRET}", "--write-headers=Content-Type=x"), "header content-type"),
        (("--write-headers=Authorization=a", "--write-tenant-id=ü"), "header"),
    ],
)
def test_no_secret_is_repeated(arguments: tuple[str, ...], named: str) -> None:
    assert named in wrong(*arguments)


def test_headers_are_secrets_too() -> None:
    settings = read_settings([URL, f"--write-headers=Authorization=Bearer {SECRET}"])
    assert SECRET not in repr(settings) + str(settings) + repr(settings.endpoint())
    endpoint = settings.endpoint()
    assert endpoint is not None
    assert ("Authorization", f"Bearer {SECRET}") in endpoint.access.headers


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", f"{SECRET}\nX: y".encode()])
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    for flag in ("--write-bearer-token-file", "--write-password-file"):
        more = ["--write-username=me"] if "password" in flag else []
        if content.startswith(SECRET.encode()) and more:
            continue  # as a password it is encoded, and may have any character
        assert wrong(f"{flag}={tmp_path / 'file'}", *more)


@pytest.mark.parametrize("listen", ["8080", "host", ":", ":x", ":-1", ":65536", ":99999", ":8080x", ":٨"])
def test_addresses_that_are_none(listen: str) -> None:
    assert "--listen" in wrong(f"--listen={listen}")


@pytest.mark.parametrize("listen", [":8080", "0.0.0.0:0", "[::1]:65535", "localhost:1"])
def test_addresses(listen: str) -> None:
    assert read_settings([URL, f"--listen={listen}"]).listen == listen


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("lease-duration", "0s"),
        ("lease-duration", "500ms"),
        ("sweep-period", "0s"),
        ("queue-size", "0"),
        ("body-size-limit", "0"),
        ("body-size-limit", "-1MiB"),
        ("shutdown-grace", "20"),
        ("status-interval", "-1s"),
        ("write-max-retries", "-1"),
        ("log-level", "loud"),
        ("log-format", "xml"),
    ],
)
def test_values_that_would_do_harm(flag: str, value: str) -> None:
    assert f"--{flag}" in wrong(f"--{flag}={value}")


@pytest.mark.parametrize(("flag", "value"), [("shutdown-grace", "0s"), ("status-interval", "0s"), ("lease-duration", "1s")])
def test_values_at_the_edge(flag: str, value: str) -> None:
    assert getattr(read_settings([URL, f"--{flag}={value}"]), flag.replace("-", "_")) == value


def test_the_own_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings([URL]).own_namespace == "default"
    monkeypatch.setenv("POD_NAMESPACE", "monitoring")
    assert read_settings([URL]).lease == ("monitoring", "pyroscope-operator")
    assert read_settings([URL, "--namespace=ops", "--name=blue"]).lease == ("ops", "blue")


def test_the_own_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes never share it, unless they are two lives of a pod's container."""
    assert read_settings([URL]).identity != read_settings([URL]).identity
    monkeypatch.setenv("POD_NAME", "operator-7d4b9-x2x1z")
    assert read_settings([URL]).identity == "operator-7d4b9-x2x1z"


def test_files_may_stand_before_and_behind_the_flags() -> None:
    for arguments in (["--standalone", "a.yaml", "b.yaml", URL], [URL, "--standalone", "a.yaml", "b.yaml"]):
        assert read_settings(arguments).files == [Path("a.yaml"), Path("b.yaml")]


def test_wrong_flags_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", URL, f"--unknown={SECRET}"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "--unknown" in told.err
    assert SECRET not in told.err


def test_help_names_flags_and_no_flag_for_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--pyroscope-url" in text
    assert "--write-password-file" in text
    assert "--write-password " not in text
    assert "--write-bearer-token " not in text


def test_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYROSCOPE_OPERATOR_DENY_DESTINATIONS", "10.0.0.0/8, fd00::/8")
    settings = read_settings([URL, "--allow-destinations=10.1.0.0/16", "--max-connections=500"])
    assert settings.allow_destinations == ["10.1.0.0/16"]
    assert settings.deny_destinations == ["10.0.0.0/8", "fd00::/8"]
    assert settings.max_connections == 500


@pytest.mark.parametrize("flag", ["allow-destinations", "deny-destinations"])
@pytest.mark.parametrize("text", [SECRET, "10.0.0.1/8", "10.0.0.0/33"])
def test_destinations_that_are_no_ranges(flag: str, text: str) -> None:
    assert wrong(f"--{flag}={text}") == (
        f"--{flag}: must be CIDR ranges such as 10.0.0.0/8 or fd00::/8, several with commas in between"
    )
