"""A node of a real cluster: containerd, kubelet and kube-proxy, with the controller-manager and the scheduler that give it work.

It must run in namespaces of its own (e2e/node/__main__.py): it mounts, routes and starts things, all of which end with them.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.harness.build import BIN
from e2e.harness.cluster import Cluster
from e2e.harness.controlplane import ControlPlane
from e2e.harness.process import Child
from e2e.harness.wait import eventually
from e2e.node.dns import DOMAIN, Dns
from e2e.node.images import Image
from e2e.node.machine import CNI_PLUGINS, cgroup_hierarchies, overlays

ADDRESS = "10.89.0.1"
PODS = "10.90.0.0/24"
NAME = "node"
_SOCKET = Path("/run/containerd/containerd.sock")
_PRIVATE = ("/run", "/var/lib", "/var/log")
"""kubelet, containerd and the CNI plugins write there, whatever one tells them."""
_TUNED = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""Below /proc/sys: kubelet would change them for the whole machine, and does not start without; it gets copies."""

_CONTAINERD = """
version = 2
root = "{root}"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
[grpc]
address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{network}"
"""
# Routed, not bridged: what a Service leads from one pod to another comes back the same way.
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}}
    ],
}


def enter() -> None:
    """Make the namespaces that we are in those of a node."""
    for command in (
        ["mount", "--make-rshared", "/"],
        *(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder] for folder in _PRIVATE),
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"],
        ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
    ):
        subprocess.run(command, check=True)
    for setting in _TUNED:
        real, copy = Path("/proc/sys") / setting, Path("/run") / setting.replace("/", "-")
        copy.write_text(real.read_text())
        subprocess.run(["mount", "--bind", copy, real], check=True)


def make_cgroup(name: str) -> None:
    for hierarchy in cgroup_hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove_cgroup(name: str) -> None:
    """With all that is in it; no process may be left there."""

    def gone() -> bool:
        for hierarchy in cgroup_hierarchies():
            for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    return False  # what was killed takes a moment to end
        return True

    eventually(gone, f"the cgroup {name} is empty", 20)


class Node:
    """Ready once it is made."""

    def __init__(self, folder: Path, plane: ControlPlane, images: Sequence[Image], cgroup: str) -> None:
        """`cgroup` exists; all pods are below it."""
        self._folder, self._plane, self._cgroup = folder, plane, cgroup
        folder.mkdir()
        self._children: list[Child] = []
        self._containerd(next(image.reference for image in images if image.name == "pause"))
        for image in images:
            self._ctr("images", "import", "--snapshotter", self._snapshotter, str(image.archive))
        self._controllers()
        self._kubelet()
        self._proxy()

    def _start(self, name: str, *command: str | Path) -> None:
        self._children.append(Child(name, command, self._folder))

    def check_running(self) -> None:
        for child in self._children:
            child.check_running()

    def _containerd(self, pause: str) -> None:
        self._snapshotter = "overlayfs" if overlays(self._folder) else "native"
        network = self._folder / "cni"
        network.mkdir()
        (network / "pods.conflist").write_text(json.dumps(_NETWORK))
        settings = {"root": self._folder / "containerd", "socket": _SOCKET, "pause": pause, "plugins": CNI_PLUGINS}
        text = _CONTAINERD.format(snapshotter=self._snapshotter, network=network, **settings)
        (self._folder / "containerd.toml").write_text(text)
        self._start("containerd", "containerd", "--config", self._folder / "containerd.toml")

        def answers() -> bool:
            self.check_running()
            return _SOCKET.exists() and subprocess.run(self._command("version"), capture_output=True, check=False).returncode == 0

        eventually(answers, "containerd answers", 30)

    def _command(self, *arguments: str) -> list[str]:
        return ["ctr", "--address", str(_SOCKET), "--namespace", "k8s.io", *arguments]

    def _ctr(self, *arguments: str) -> None:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ctr {' '.join(arguments)}: {done.stderr}"

    def _controllers(self) -> None:
        kubeconfig = f"--kubeconfig={self._plane.kubeconfig}"
        key, root = self._plane.folder / "sa.key", self._plane.folder / "certs/apiserver.crt"
        common = (kubeconfig, "--leader-elect=false", "--secure-port=0")
        credentials = (f"--service-account-private-key-file={key}", f"--root-ca-file={root}")
        self._start("kube-controller-manager", BIN / "kube-controller-manager", *common, *credentials)
        self._start("kube-scheduler", BIN / "kube-scheduler", kubeconfig, "--leader-elect=false")

    def _kubelet(self) -> None:
        settings = {
            "kind": "KubeletConfiguration",
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            # Nobody else is in this network.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "localStorageCapacityIsolation": False,
            "oomScoreAdj": 0,
            "clusterDNS": [ADDRESS],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            # The images of this node can't be pulled again, however full the disk is.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
            "volumePluginDir": str(self._folder / "volume-plugins"),
        }
        file = self._folder / "kubelet.json"
        file.write_text(json.dumps(settings))
        self._start(
            "kubelet",
            BIN / "kubelet",
            f"--config={file}",
            f"--kubeconfig={self._plane.kubeconfig}",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
            f"--cert-dir={self._folder / 'kubelet-certs'}",
        )

    def _proxy(self) -> None:
        self._start(
            "kube-proxy",
            BIN / "kube-proxy",
            f"--kubeconfig={self._plane.kubeconfig}",
            f"--hostname-override={NAME}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={PODS}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            "--oom-score-adj=0",
        )

    def stop(self) -> None:
        """End the pods, too: their watches would keep the API server from ending."""
        for child in reversed(self._children):
            if child.name == "containerd":
                self._end_pods()
            if child.running:
                child.stop()

    def _end_pods(self) -> None:
        listed = subprocess.run(self._command("tasks", "list", "--quiet"), capture_output=True, text=True, check=False)
        for task in listed.stdout.split():
            subprocess.run(self._command("tasks", "kill", "--signal", "SIGKILL", task), capture_output=True, check=False)


@contextmanager
def open_node(folder: Path, cluster: Cluster, images: Sequence[Image], cgroup: str) -> Iterator[Node]:
    """A node of a cluster, Ready; pods may use names of Services."""
    with Dns(ADDRESS, cluster.api):
        node = Node(folder, cluster.plane, images, cgroup)
        try:
            ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"

            def is_ready() -> bool:
                node.check_running()
                return cluster.kubectl("get", "node", NAME, "-o", ready, check=False) == "True"

            eventually(is_ready, "the node is Ready", 90, 0.5)
            yield node
        finally:
            node.stop()
