"""Fails unless, within SECONDS, the operator behind a Service, NAME PORT, is ready and tells its metrics."""

import os
import sys
import time
import urllib.request

name, port, seconds = sys.argv[1:]
# As kubelet tells it: a cluster without DNS is fine.
host = os.environ.get(name.upper().replace("-", "_") + "_SERVICE_HOST", name)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
deadline = time.monotonic() + int(seconds)


def trouble(url, wanted):
    try:
        return "" if wanted in opener.open(url, timeout=10).read() else f"no {wanted.decode()}"
    except OSError as error:
        return str(error)


for page, wanted in (("healthz", b"ok"), ("readyz", b"ok"), ("metrics", b"pyroscope_operator_info{")):
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/{page}"
    # A node hears of a pod behind a Service some time after the pod is ready.
    while wrong := trouble(url, wanted):
        if time.monotonic() > deadline:
            sys.exit(f"{url}: {wrong}")
        time.sleep(1)
    sys.stdout.write(f"{url}: fine\n")
