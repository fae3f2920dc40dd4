"""Settings of the operator: flags and environment, flags first.

`--listen` is PYROSCOPE_OPERATOR_LISTEN, and so on; only `--pyroscope-url` has an
environment variable without the prefix: PYROSCOPE_URL.
"""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, CliPositionalArg, CliSuppress, NoDecode, SettingsConfigDict

from pyroscope_operator.api import duration, size
from pyroscope_operator.api.formats import DNS_LABEL
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.access import Access, TlsSettings, basic
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS, WriteEndpoint
from pyroscope_operator.transport.tls import check_tls

PREFIX = "PYROSCOPE_OPERATOR_"
_MAX_WATCHED = 100
"""Namespaces in restricted mode: each one has three watches of its own."""
_LONGEST_LABEL = 63
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _checked(parse: Callable[[str], float], at_least: float, text_of_least: str) -> AfterValidator:
    """Keep the text as it was given, but refuse what `parse` refuses and what is less than it may be."""

    def check(text: str) -> str:
        if parse(text) < at_least:
            raise ValueError(f"must be at least {text_of_least}")
        return text

    return AfterValidator(check)


def _at_most(seconds: float) -> AfterValidator:
    def check(text: str) -> str:
        if duration.parse(text) > seconds:
            raise ValueError(f"must be at most {duration.render(seconds)}")
        return text

    return AfterValidator(check)


def _split(value: Any) -> Any:
    """`a,b` from the environment; a list from repeated flags."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _pairs(value: Any) -> Any:
    """`a=1,b=2` or JSON from the environment; a map from repeated flags."""
    if not isinstance(value, str):
        return value
    if value.startswith("{"):
        return json.loads(value)
    pairs = [part.partition("=") for part in _split(value)]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise ValueError("must be name=value, several with commas in between; JSON if a value has a comma")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _port(listen: str) -> str:
    _, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("must be [host]:port with a port up to 65535, such as :8080 or 127.0.0.1:8080")
    return listen


def _object(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"([a-z0-9-]+/)?[a-z0-9][a-z0-9.-]*", name):
        raise ValueError("must be NAMESPACE/NAME of a PyroscopeWrite")
    return name


def _namespaces(names: list[str] | None) -> list[str] | None:
    if names is None:
        return None
    if not names:
        raise ValueError("names no namespace: leave it out to watch the whole cluster")
    if len(names) > _MAX_WATCHED:
        raise ValueError(f"at most {_MAX_WATCHED} namespaces: leave it out to watch the whole cluster")
    if not all(len(name) <= _LONGEST_LABEL and re.fullmatch(DNS_LABEL, name) for name in names):
        raise ValueError("must be names of namespaces, several with commas in between")
    return list(dict.fromkeys(names))


def _networks(values: list[str]) -> list[str]:
    for value in values:
        try:
            ip_network(value)
        except ValueError:
            raise ValueError("must be CIDR ranges such as 10.0.0.0/8 or fd00::/8, several with commas in between") from None
    return values


Seconds = Annotated[str, _checked(duration.parse, 0, "0s")]
"""A Go duration."""
Period = Annotated[str, _checked(duration.parse, 1, "1s")]
"""A Go duration after which something is done again and again."""
Bytes = Annotated[str, _checked(size.parse, 1, "1B")]
Networks = Annotated[list[str], NoDecode, BeforeValidator(_split), AfterValidator(_networks)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]


class Settings(BaseSettings):
    """Scrape pprof profiles and push them to Pyroscope."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        cli_prog_name="pyroscope-operator run",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_enforce_required=False,
        cli_exit_on_error=False,
        use_attribute_docstrings=True,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
    )

    pyroscope_url: str | None = Field(default=None, validation_alias=AliasChoices("pyroscope_url", "PYROSCOPE_URL"), repr=False)
    """Where the profiles of objects without forwardTo go: http(s)://host[:port][/prefix]. Environment: PYROSCOPE_URL."""
    default_write: Annotated[str | None, AfterValidator(_object)] = None
    """The PyroscopeWrite, NAMESPACE/NAME, that gets these profiles; excludes pyroscope-url and the settings write-*."""
    write_tenant_id: str | None = None
    """Tenant, sent as X-Scope-OrgID."""
    write_username: str | None = None
    """User name for basic authentication."""
    write_password: CliSuppress[SecretStr | None] = None
    """Password for basic authentication; by environment only."""
    write_password_file: Path | None = None
    """File with the password for basic authentication."""
    write_bearer_token: CliSuppress[SecretStr | None] = None
    """Bearer token; by environment only."""
    write_bearer_token_file: Path | None = None
    """File with the bearer token."""
    write_tls_ca_file: Path | None = None
    """PEM file with the authorities of its certificate. Default: those that the machine trusts."""
    write_tls_cert_file: Path | None = None
    """PEM file with the client certificate."""
    write_tls_key_file: Path | None = None
    """PEM file with its key."""
    write_tls_server_name: str | None = None
    """Name that its certificate must carry. Default: the host of the URL."""
    write_tls_insecure_skip_verify: bool = False
    """Take any certificate."""
    write_headers: Pairs = Field(default={}, repr=False)
    """More request headers: name=value, repeatable."""
    write_external_labels: Pairs = {}
    """Labels added to every series: name=value, repeatable."""
    write_remote_timeout: Seconds = "10s"
    """Longest time for one push request."""
    write_min_backoff: Seconds = "500ms"
    """First wait after a failed push."""
    write_max_backoff: Seconds = "30s"
    """Longest wait after failed pushes."""
    write_max_retries: Annotated[int, Field(ge=0, le=1000)] = 10
    """How often a profile that the endpoint answers with an error is sent again. An endpoint that is down uses up none."""
    write_retry_on_http_429: bool = True
    """Send again what was refused with HTTP status 429."""
    queue_size: Bytes = "64MiB"
    """Profiles that wait for an endpoint, at most; the oldest go first."""
    queue_memory: Bytes = "256MiB"
    """Profiles that wait for all endpoints together, at most; the oldest of the largest queue go first."""

    body_size_limit: Bytes = "16MiB"
    """Largest profile that is accepted from a target, before and after decompression; objects may set less."""
    body_memory: Bytes = "128MiB"
    """Bytes of bodies that all scrapes together hold at a time; at least four times the body size limit."""
    baseline_memory: Bytes = "1GiB"
    """Bytes for what cumulative profiles are compared with: about 25 for each sample of each memory, mutex and block profile."""
    privileged_namespaces: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """Namespaces whose objects may select pods of other namespaces and name static targets. Default: the operator's own."""
    cross_namespace_credentials: bool = False
    """Send the credentials of an object (authentication, headers, client certificate) to pods of other namespaces, too."""
    allow_destinations: Networks = []
    """CIDR ranges that URLs named in objects (writes, tokenUrl, proxyUrl, redirects) may lead to, whatever else is denied."""
    deny_destinations: Networks = []
    """CIDR ranges that they may not lead to, besides loopback, link-local, multicast and metadata addresses."""
    max_connections: Annotated[int, Field(ge=10, le=1_000_000)] = 10_000
    """Outgoing HTTP connections at a time."""
    namespace: str = ""
    """The operator's own namespace, where its Lease is. Default: that of the pod, else default."""
    name: str = "pyroscope-operator"
    """Name of the Lease: one operator of this name is active at a time."""
    lease_duration: Period = "15s"
    """Time after which the Lease of a dead operator is taken over."""
    sweep_period: Period = "5m"
    """How often the watches are compared with a list of what exists."""
    status_interval: Seconds = "10s"
    """Least time between two writes of one object's status."""
    watch_namespaces: Annotated[list[str] | None, NoDecode, BeforeValidator(_split), AfterValidator(_namespaces)] = None
    """The only namespaces whose pods and objects the operator looks at, by Roles alone. Default: the whole cluster."""
    target_limit: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Targets of one object at most; objects may set less."""
    min_interval: Annotated[Period, _at_most(duration.MAX_SECONDS)] = "1s"
    """Shortest interval between two scrapes of a target: that of objects that ask for a shorter one is raised to it."""

    listen: Annotated[str, AfterValidator(_port)] = ":8080"
    """Address of the operator's own HTTP server: [host]:port."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object per line, or text for people."""
    shutdown_grace: Seconds = "20s"
    """Time to push what is queued when the operator is stopped."""

    standalone: bool = False
    """Run without Kubernetes: FILES say what to scrape."""
    files: CliPositionalArg[list[Path]] = []
    """Manifests of PyroscopeScrapes and PyroscopeWrites; with --standalone only."""
    secrets_dir: Path | None = None
    """Folder with DIR/<name>/<key> for the Secrets that FILES refer to; with --standalone only."""
    configmaps_dir: Path | None = None
    """Folder with DIR/<name>/<key> for the ConfigMaps that FILES refer to; with --standalone only."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.standalone and not self.files:
            raise ValueError("--standalone needs at least one FILE with PyroscopeScrapes")
        if self.files and not self.standalone:
            raise ValueError("FILES are for --standalone; in a cluster, kubectl apply them")
        if (self.secrets_dir or self.configmaps_dir) and not self.standalone:
            raise ValueError("secrets-dir and configmaps-dir are for --standalone; a cluster has Secrets and ConfigMaps")
        if size.parse(self.body_memory) < 4 * size.parse(self.body_size_limit):
            raise ValueError("body-memory must be at least four times body-size-limit")
        if size.parse(self.queue_memory) < size.parse(self.queue_size):
            raise ValueError("queue-memory must be at least queue-size")
        if self.watch_namespaces and self.standalone:
            raise ValueError("watch-namespaces is for a cluster; FILES say what to scrape")
        self._check_default()
        return self

    def _check_default(self) -> None:
        """The default write is described by flags, or is an object, or there is none."""
        flags = sorted(name.replace("_", "-") for name in self.model_fields_set if name.startswith("write_"))
        if self.default_write is not None:
            if self.pyroscope_url is not None or flags:
                first = "pyroscope-url" if self.pyroscope_url is not None else flags[0]
                raise ValueError(f"default-write and {first} exclude each other: set that in the PyroscopeWrite")
            if "/" not in self.default_write and not self.standalone:
                raise ValueError("default-write must be NAMESPACE/NAME")
            if self.watch_namespaces and self.default_write.partition("/")[0] not in self.watch_namespaces:
                raise ValueError("default-write must be in one of watch-namespaces")
        elif self.pyroscope_url is None and flags:
            raise ValueError(f"{flags[0]} needs pyroscope-url")

    @property
    def default(self) -> ObjectRef | None:
        """The write of objects that name none."""
        if self.default_write is None:
            return FLAGS if self.pyroscope_url is not None else None
        namespace, _, name = self.default_write.rpartition("/")
        return ObjectRef(namespace or "default", name)

    @property
    def own_namespace(self) -> str:
        return self.namespace or _pod_namespace()

    @property
    def lease(self) -> ObjectRef:
        return ObjectRef(self.own_namespace, self.name)

    @property
    def identity(self) -> str:
        """A name for this process, in the Lease.

        In a pod that is told its name, a container that was killed and started again
        is still the holder, and doesn't wait for its own Lease to expire.
        """
        return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"

    def endpoint(self) -> WriteEndpoint | None:
        """The endpoint that the flags describe, if they do. Raises SettingsError."""
        if self.pyroscope_url is None:
            return None
        return WriteEndpoint(
            url=self.pyroscope_url,
            tenant_id=self.write_tenant_id,
            access=Access(authorization=self._authorization(), headers=tuple(self.write_headers.items()), tls=self._write_tls()),
            external_labels=Labels(self.write_external_labels),
            remote_timeout=duration.parse(self.write_remote_timeout),
            min_backoff=duration.parse(self.write_min_backoff),
            max_backoff=duration.parse(self.write_max_backoff),
            max_retries=self.write_max_retries,
            retry_on_429=self.write_retry_on_http_429,
        )

    def _write_tls(self) -> TlsSettings:
        """Read anew at each start only. Raises SettingsError."""
        tls = TlsSettings(
            ca=_secret("write-tls-ca", None, self.write_tls_ca_file),
            cert=_secret("write-tls-cert", None, self.write_tls_cert_file),
            key=_secret("write-tls-key", None, self.write_tls_key_file),
            server_name=self.write_tls_server_name,
            insecure_skip_verify=self.write_tls_insecure_skip_verify,
        )
        if problem := check_tls(tls):
            raise SettingsError(f"--write-tls-*-file: {problem.replace('keySecret', 'key')}")
        return tls

    def _authorization(self) -> str | None:
        """The Authorization header. Raises SettingsError."""
        password = _secret("write-password", self.write_password, self.write_password_file)
        token = _secret("write-bearer-token", self.write_bearer_token, self.write_bearer_token_file)
        if (self.write_username is None) != (password is None):
            raise SettingsError("write-username and write-password go together")
        if self.write_username is None or password is None:
            return None if token is None else f"Bearer {token}"
        if token is not None:
            raise SettingsError("write-username and write-bearer-token exclude each other")
        if ":" in self.write_username:
            raise SettingsError("write-username can't contain a colon")
        return basic(self.write_username, password)


def _secret(name: str, value: SecretStr | None, file: Path | None) -> str | None:
    if value is not None and file is not None:
        raise SettingsError(f"{name} and {name}-file exclude each other")
    if file is None:
        return value.get_secret_value() if value is not None else None
    try:
        secret = file.read_text().strip()
    except OSError as error:
        raise SettingsError(f"--{name}-file: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"--{name}-file: the file is not UTF-8 text") from None
    if not secret:
        raise SettingsError(f"--{name}-file: the file is empty")
    return secret


def _pod_namespace() -> str:
    try:
        return os.environ.get("POD_NAMESPACE") or _NAMESPACE_FILE.read_text().strip()
    except OSError:
        return "default"
