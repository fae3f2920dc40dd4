"""etcd and kube-apiserver: a real control plane on loopback, ready in seconds."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from e2e.harness.build import BIN
from e2e.harness.process import Child, free_port
from e2e.harness.wait import eventually

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
ADMIN_TOKEN = "testbed-admin"


class ControlPlane:
    """One etcd, one kube-apiserver or more. Everything is in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        profiled: bool = False,
        contention: bool | None = None,
        audited: bool = False,
        address: str = "127.0.0.1",
    ) -> None:
        """`profiled`: both serve every type of profile; etcd to anybody, the API server to the admin.

        `contention`: whether mutex and block of the API server have anything to say; as `profiled` by default.
        `audited`: the API server writes down who asks for what, see `audit`.
        `address`: an IP address of this machine; where it is not loopback, there are real nodes, and pods get service accounts.
        """
        self.folder = folder
        self.address, self._with_nodes = address, address != "127.0.0.1"
        self._audited = audited
        self._profiled = profiled
        self._contention = profiled if contention is None else contention
        folder.mkdir(parents=True, exist_ok=True)
        self.etcd_port, self.peer_port, self.port = free_port(), free_port(), free_port()
        self.url = self._url(0)
        self._etcds = self._apiservers = 0
        self._write_credentials()
        self.etcd = self.start_etcd()
        self.apiserver = self.start_apiserver()
        self.kubeconfig = self.write_kubeconfig("kubeconfig", {"token": ADMIN_TOKEN})

    def _write_credentials(self) -> None:
        with (self.folder / "sa.key").open("wb") as key:
            subprocess.run([BIN / "genkey"], check=True, stdout=key)
        (self.folder / "tokens.csv").write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n")
        (self.folder / "audit-policy").write_text(json.dumps(_AUDIT_POLICY))

    def start_etcd(self) -> Child:
        """Start etcd, with what it held when it was stopped."""
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self._etcds += 1
        return Child(
            f"etcd-{self._etcds}",
            [
                BIN / "etcd",
                "--unsafe-no-fsync",
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=warn",
                *(["--enable-pprof"] if self._profiled else []),
            ],
            self.folder,
        )

    def start_apiserver(self, port: int = 0, *, wait: bool = True) -> Child:
        """Start kube-apiserver, by default on the plane's own port, and wait until it is ready.

        Several may run side by side, and one after another on the same port: etcd, keys,
        tokens and the certificate are the same.
        """
        self._apiservers += 1
        child = Child(
            f"kube-apiserver-{self._apiservers}",
            [
                BIN / "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                f"--bind-address={self.address}",
                f"--advertise-address={self.address}",
                f"--secure-port={port or self.port}",
                f"--cert-dir={self.folder / 'certs'}",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--service-account-key-file={self.folder / 'sa.key'}",
                f"--service-account-signing-key-file={self.folder / 'sa.key'}",
                "--service-account-issuer=https://testbed.invalid",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                # No controller-manager makes service accounts without nodes.
                "--kubelet-preferred-address-types=InternalIP"
                if self._with_nodes
                else "--disable-admission-plugins=ServiceAccount",
                *(["--contention-profiling"] if self._contention else []),
                *(self._audit_flags if self._audited else ()),
            ],
            self.folder,
        )
        if wait:
            self.wait_ready(child, port)
        return child

    @property
    def _audit_flags(self) -> tuple[str, ...]:
        return f"--audit-policy-file={self.folder / 'audit-policy'}", f"--audit-log-path={self.folder / 'audit.log'}"

    def audit(self, user: str) -> list[dict[str, Any]]:
        """What a user has asked for, oldest first: events of the audit log; those of a watch when it begins and when it ends."""
        whole = (self.folder / "audit.log").read_text().rpartition("\n")[0]  # the last line is being written, perhaps
        events = [json.loads(line) for line in whole.splitlines()]
        return [event for event in events if event["user"]["username"] == user]

    def wait_ready(self, child: Child, port: int = 0) -> None:
        eventually(lambda: self._ready(child, port), "the API server is ready", 60)

    def _ready(self, child: Child, port: int) -> bool:
        child.check_running()
        certificate = self.folder / "certs/apiserver.crt"
        if not certificate.exists():
            return False
        try:
            with self.client(ADMIN_TOKEN, port) as client:
                return client.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def client(self, token: str, port: int = 0) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.folder / "certs/apiserver.crt"))
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self._url(port), headers=headers, verify=context, trust_env=False)

    def _url(self, port: int) -> str:
        return f"https://{self.address}:{port or self.port}"

    def write_kubeconfig(self, name: str, user: Mapping[str, str], port: int = 0) -> Path:
        """A kubeconfig for a user (`token`, or `tokenFile`) of the API server on this port."""
        cluster = {"server": self._url(port), "certificate-authority": str(self.folder / "certs/apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": "user", "user": dict(user)}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
        }
        path = self.folder / name
        path.write_text(json.dumps(config, indent=2))  # JSON is YAML
        return path

    def compact(self) -> None:
        """Have etcd forget all but the newest revisions: watches from older ones have expired, wherever they resume."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.etcd_port}/v3", trust_env=False) as client:
            status = client.post("/maintenance/status", json={}).raise_for_status().json()
            wanted = {"revision": status["header"]["revision"], "physical": True}
            client.post("/kv/compaction", json=wanted).raise_for_status()

    def stop(self) -> None:
        self.apiserver.stop(30)
        self.etcd.stop(30)
