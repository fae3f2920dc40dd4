"""etcd and kube-apiserver: a real control plane on loopback, ready in seconds."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

import httpx

from e2e.harness.build import BIN
from e2e.harness.process import Child, free_port
from e2e.harness.wait import eventually

ADMIN_TOKEN = "testbed-admin"


class ControlPlane:
    """One etcd, one kube-apiserver. Everything is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.etcd_port, self.peer_port, self.port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self._write_credentials()
        self.etcd = self._start_etcd()
        self.apiserver = self.start_apiserver()

    def _write_credentials(self) -> None:
        with (self.folder / "sa.key").open("wb") as key:
            subprocess.run([BIN / "genkey"], check=True, stdout=key)
        (self.folder / "tokens.csv").write_text(f"{ADMIN_TOKEN},admin,admin,system:masters\n")

    def _start_etcd(self) -> Child:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        return Child(
            "etcd",
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
            ],
            self.folder,
        )

    def start_apiserver(self) -> Child:
        """Start kube-apiserver and wait until it is ready."""
        child = Child(
            "kube-apiserver",
            [
                BIN / "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self.port}",
                f"--cert-dir={self.folder / 'certs'}",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--service-account-key-file={self.folder / 'sa.key'}",
                f"--service-account-signing-key-file={self.folder / 'sa.key'}",
                "--service-account-issuer=https://testbed.invalid",
                f"--token-auth-file={self.folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                # No controller-manager makes service accounts here.
                "--disable-admission-plugins=ServiceAccount",
            ],
            self.folder,
        )
        eventually(lambda: self._ready(child), "the API server is ready", 60)
        self.kubeconfig.write_text(self._kubeconfig(ADMIN_TOKEN))
        return child

    def _ready(self, child: Child) -> bool:
        child.check_running()
        certificate = self.folder / "certs/apiserver.crt"
        if not certificate.exists():
            return False
        try:
            with self.client(ADMIN_TOKEN) as client:
                return client.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def client(self, token: str) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.folder / "certs/apiserver.crt"))
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, verify=context, trust_env=False)

    def _kubeconfig(self, token: str) -> str:
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "certs/apiserver.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "testbed",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "admin"}}],
        }
        return json.dumps(config, indent=2)  # JSON is YAML

    def stop(self) -> None:
        self.apiserver.stop(30)
        self.etcd.stop(30)
