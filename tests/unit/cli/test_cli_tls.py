"""TLS of the default write, from flags."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from pyroscope_operator.cli import read_settings
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.access import TlsSettings

URL = "--pyroscope-url=https://pyroscope:4040"
SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def pems() -> dict[str, str]:
    authority = trustme.CA()
    mine, other = authority.issue_cert("operator"), authority.issue_cert("other")
    found = {
        "ca": authority.cert_pem,
        "cert": mine.cert_chain_pems[0],
        "key": mine.private_key_pem,
        "other": other.private_key_pem,
    }
    return {name: pem.bytes().decode() for name, pem in found.items()}


def flags(folder: Path, **contents: str) -> list[str]:
    """Flags that name files with these contents."""
    for name, text in contents.items():
        (folder / name).write_text(text)
    return [URL, *(f"--write-tls-{name}-file={folder / name}" for name in contents)]


def wrong(*arguments: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(arguments).endpoint()
    assert SECRET not in str(caught.value)
    return caught.value.message


def test_all_of_it(tmp_path: Path, pems: dict[str, str]) -> None:
    files = flags(tmp_path, **{name: pems[name] for name in ("ca", "cert", "key")})
    endpoint = read_settings([*files, "--write-tls-server-name=shop", "--write-tls-insecure-skip-verify"]).endpoint()
    assert endpoint is not None
    ca, cert, key = (pems[name].strip() for name in ("ca", "cert", "key"))
    assert endpoint.access.tls == TlsSettings(ca=ca, cert=cert, key=key, server_name="shop", insecure_skip_verify=True)
    assert key not in repr(endpoint)


def test_none_of_it() -> None:
    endpoint = read_settings([URL]).endpoint()
    assert endpoint is not None and endpoint.access.tls == TlsSettings()


def test_files_that_are_of_no_use(tmp_path: Path, pems: dict[str, str]) -> None:
    assert wrong(*flags(tmp_path, ca=SECRET)) == "--write-tls-*-file: ca holds no PEM certificate"
    assert wrong(*flags(tmp_path, ca="")) == "--write-tls-ca-file: the file is empty"
    assert wrong(*flags(tmp_path, cert=pems["cert"])) == "--write-tls-*-file: cert and key belong together"
    assert wrong(*flags(tmp_path, cert=pems["cert"], key=SECRET)) == "--write-tls-*-file: key holds no PEM private key"
    assert wrong(*flags(tmp_path, cert=pems["cert"], key=pems["other"])) == "--write-tls-*-file: key does not belong to cert"
    assert "--write-tls-ca-file" in wrong(URL, f"--write-tls-ca-file={tmp_path / 'missing'}")


def test_it_needs_a_url(tmp_path: Path, pems: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="write-tls-ca-file needs pyroscope-url"):
        read_settings(flags(tmp_path, ca=pems["ca"])[1:])
