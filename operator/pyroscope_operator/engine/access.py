"""From what an object says of its requests, and the Secrets that it refers to, to an `Access`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from pyroscope_operator.api.auth import BasicAuth, OAuth2
from pyroscope_operator.api.base import ApiModel
from pyroscope_operator.api.http import HttpClient
from pyroscope_operator.api.proxy import Proxy
from pyroscope_operator.api.secret import ConfigMapKey, SecretKey, SecretOrConfigMap
from pyroscope_operator.api.tls import Tls
from pyroscope_operator.errors import OperatorError
from pyroscope_operator.model.access import DIRECT, Access, OAuth2Settings, ProxySettings, TlsSettings, basic, is_header_value
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.transport.tls import check_tls

Lookup = Callable[[DataRef], Mapping[str, bytes]]
"""The data of a Secret or ConfigMap; raises ReferenceProblem where there is none."""

_FIELDS = tuple(HttpClient.model_fields)
_Kind = Literal["Secret", "ConfigMap"]

SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
SECRET_UNREADABLE = "SecretUnreadable"  # noqa: S105
INVALID_SECRET = "InvalidSecret"  # noqa: S105

REASONS = frozenset({SECRET_NOT_FOUND, SECRET_UNREADABLE, INVALID_SECRET})
"""Reasons of a ReferenceProblem."""


class ReferenceProblem(OperatorError):
    """Something that an object refers to can't be used. `reason` is one of the condition Accepted:

    SecretNotFound (also for ConfigMaps and keys), SecretUnreadable (the API server does not give it), or
    InvalidSecret (what is in there can't be used). The message names field, Secret and key, and never a value.
    """


def references(client: HttpClient, namespace: str) -> frozenset[DataRef]:
    """What `client`, part of an object in `namespace`, refers to."""
    fields = [value for name in _FIELDS if isinstance(value := getattr(client, name), ApiModel | tuple)]
    return frozenset(DataRef(kind, namespace, name) for value in fields for kind, name in _names(value))


def _names(value: object) -> Iterator[tuple[_Kind, str]]:
    """The Secrets and ConfigMaps in a part of an object."""
    match value:
        case SecretKey():
            yield "Secret", value.name
        case ConfigMapKey():
            yield "ConfigMap", value.name
        case ApiModel():
            for name in type(value).model_fields:
                yield from _names(getattr(value, name))
        case tuple():
            for one in value:
                yield from _names(one)


def credentials(client: HttpClient, path: str = "spec") -> list[str]:
    """JSON paths of the fields by which requests carry what others must not see; authentication first."""
    tls = client.tls_config
    found = {
        "basicAuth": client.basic_auth is not None,
        "authorization": client.authorization is not None,
        "oauth2": client.oauth2 is not None,
        "bearerTokenSecret": client.bearer_token_secret is not None,
        "headers": bool(client.headers),
        "tlsConfig": tls is not None and tls.key_secret is not None,
    }
    return [f"{path}.{field}" for field, there in found.items() if there]


def resolve(client: HttpClient, namespace: str, lookup: Lookup, *, path: str = "spec") -> Access:
    """The way that `client` describes. `path` is where it stands in the object, for messages.

    Raises ReferenceProblem.
    """
    read = _Reader(namespace, lookup)
    access = Access(
        authorization=_authorization(client, read, path),
        oauth2=_oauth2(client.oauth2, read, f"{path}.oauth2") if client.oauth2 else None,
        headers=_headers(client, read, f"{path}.headers"),
        tls=_tls(client.tls_config, read, f"{path}.tlsConfig"),
        proxy=_proxy(client),
        http2=client.enable_http2,
        credentials=", ".join(credentials(client, path)),
    )
    return DIRECT if access == DIRECT else access


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads values, and says of what can't be used where it stands."""

    namespace: str
    lookup: Lookup

    def pem(self, source: SecretKey | SecretOrConfigMap, field: str, what: str) -> str:
        """PEM text in which there is `what`, as it is."""
        key, where = _parts(source, field)
        text = self._text(key, where)
        if f"{what}-----" not in text or "-----BEGIN " not in text:
            self._refuse(key, where, f"has no {what} in PEM form")
        return text

    def line(self, source: SecretKey | SecretOrConfigMap, field: str, *, may_be_empty: bool = False) -> str:
        """Text without control characters. Line breaks at its end are taken off: editors and `echo` put them there."""
        key, where = _parts(source, field)
        text = self._text(key, where).rstrip("\r\n")
        if not text and not may_be_empty:
            self._refuse(key, where, "is empty")
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in text):
            self._refuse(key, where, "has line breaks or other control characters in it")
        return text

    def header(self, source: SecretKey, field: str) -> str:
        """Text that can be sent as the value of a header, or as a part of it."""
        text = self.line(source, field)
        if not is_header_value(text):
            self._refuse(source, field, "can't be sent in a header: it must be printable ASCII without blanks around it")
        return text

    def user(self, source: SecretKey, field: str) -> str:
        name = self.line(source, field, may_be_empty=True)
        if ":" in name:
            self._refuse(source, field, "has a colon in it, which a user name can't have")
        return name

    def _text(self, key: SecretKey | ConfigMapKey, field: str) -> str:
        ref = self._ref(key)
        try:
            data = self.lookup(ref)
        except ReferenceProblem as error:
            fix = f", or correct {field}" if error.reason == SECRET_NOT_FOUND else f" ({field})"
            raise ReferenceProblem(error.reason, error.message + fix) from None
        if key.key not in data:
            raise ReferenceProblem(SECRET_NOT_FOUND, f"{ref} has no key {key.key}: add it, or correct {field}")
        try:
            return data[key.key].decode()
        except UnicodeDecodeError:
            self._refuse(key, field, "is not UTF-8 text")

    def _ref(self, key: SecretKey | ConfigMapKey) -> DataRef:
        return DataRef("Secret" if isinstance(key, SecretKey) else "ConfigMap", self.namespace, key.name)

    def _refuse(self, key: SecretKey | ConfigMapKey, field: str, problem: str) -> NoReturn:
        raise ReferenceProblem(INVALID_SECRET, f"{field}: key {key.key} of {self._ref(key)} {problem}")


def _parts(source: SecretKey | SecretOrConfigMap, field: str) -> tuple[SecretKey | ConfigMapKey, str]:
    """The key that is meant, and its JSON path."""
    if isinstance(source, SecretKey):
        return source, field
    if source.secret is not None:
        return source.secret, f"{field}.secret"
    assert source.config_map is not None  # noqa: S101 - one of both, says the model
    return source.config_map, f"{field}.configMap"


def _authorization(client: HttpClient, read: _Reader, path: str) -> str | None:
    if client.basic_auth is not None:
        return _basic(client.basic_auth, read, f"{path}.basicAuth")
    if client.authorization is not None:
        return f"{client.authorization.type} {read.header(client.authorization.credentials, f'{path}.authorization.credentials')}"
    if client.bearer_token_secret is not None:
        return f"Bearer {read.header(client.bearer_token_secret, f'{path}.bearerTokenSecret')}"
    return None


def _basic(auth: BasicAuth, read: _Reader, path: str) -> str:
    user = read.user(auth.username, f"{path}.username") if auth.username else ""
    return basic(user, read.line(auth.password, f"{path}.password", may_be_empty=True) if auth.password else "")


def _oauth2(auth: OAuth2, read: _Reader, path: str) -> OAuth2Settings:
    return OAuth2Settings(
        client_id=read.line(auth.client_id, f"{path}.clientId"),
        client_secret=read.line(auth.client_secret, f"{path}.clientSecret"),
        token_url=auth.token_url,
        scopes=auth.scopes,
        endpoint_params=tuple(sorted(auth.endpoint_params.items())),
        tls=_tls(auth.tls_config, read, f"{path}.tlsConfig"),
        proxy=_proxy(auth),
    )


def _headers(client: HttpClient, read: _Reader, path: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (header.name, read.header(header.secret, f"{path}[{index}].secret") if header.secret else header.value or "")
        for index, header in enumerate(client.headers)
    )


def _proxy(proxy: Proxy) -> ProxySettings:
    return ProxySettings(proxy.proxy_url, proxy.no_proxy or "", proxy.proxy_from_environment)


def _tls(tls: Tls | None, read: _Reader, path: str) -> TlsSettings:
    if tls is None:
        return TlsSettings()
    settings = TlsSettings(
        ca=read.pem(tls.ca, f"{path}.ca", "CERTIFICATE") if tls.ca else None,
        cert=read.pem(tls.cert, f"{path}.cert", "CERTIFICATE") if tls.cert else None,
        key=read.pem(tls.key_secret, f"{path}.keySecret", "PRIVATE KEY") if tls.key_secret else None,
        server_name=tls.server_name,
        insecure_skip_verify=tls.insecure_skip_verify,
        min_version=tls.min_version,
        max_version=tls.max_version,
    )
    if problem := check_tls(settings):
        raise ReferenceProblem(INVALID_SECRET, f"{path}: {problem}")
    return settings


@dataclass(frozen=True, slots=True)
class _Resolved:
    client: HttpClient
    inputs: Mapping[DataRef, Mapping[str, bytes]] = field(repr=False)
    access: Access


class Resolver:
    """Resolves, and gives the identical Access again as long as nothing has changed: a thousand scrapes hold it."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._known: dict[Hashable, _Resolved] = {}

    def resolve(self, key: Hashable, client: HttpClient, namespace: str, *, path: str = "spec") -> Access:
        """As `resolve` does; `key` says whose way it is. Raises ReferenceProblem."""
        known = self._known.get(key)
        if known is not None and known.client is client and self._unchanged(known):
            return known.access
        inputs: dict[DataRef, Mapping[str, bytes]] = {}

        def lookup(ref: DataRef) -> Mapping[str, bytes]:
            inputs[ref] = self._lookup(ref)
            return inputs[ref]

        access = resolve(client, namespace, lookup, path=path)
        if known is not None and known.access == access:
            access = known.access
        self._known[key] = _Resolved(client, inputs, access)
        return access

    def _unchanged(self, known: _Resolved) -> bool:
        try:
            return all(self._lookup(ref) is data for ref, data in known.inputs.items())
        except ReferenceProblem:
            return False

    def forget(self, living: Collection[Hashable]) -> None:
        """Forget all but these."""
        for key in self._known.keys() - set(living):
            del self._known[key]
