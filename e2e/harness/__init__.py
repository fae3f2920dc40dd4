"""The testbed: real parts without Docker.

    build.py         pinned Go programs, built once into the cache folder
    process.py       a child process that announces itself and is stopped by its own pid
    controlplane.py  etcd and kube-apiserver
    cluster.py       what tests do in the cluster: objects, pods, status
    rights.py        service accounts and what they may do
    parts.py         demo app, gate, proxy, receiver and operator
    wait.py          wait on conditions instead of sleeping

Everything listens on 127.0.0.0/8 and lives in a temporary folder.
"""
