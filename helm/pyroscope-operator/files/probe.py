"""Fails unless the operator behind a Service, NAME PORT, is ready and tells its metrics."""

import os
import sys
import urllib.request

name, port = sys.argv[1:]
# As kubelet tells it: a cluster without DNS is fine.
host = os.environ.get(name.upper().replace("-", "_") + "_SERVICE_HOST", name)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for page, wanted in (("healthz", b"ok"), ("readyz", b"ok"), ("metrics", b"pyroscope_operator_info{")):
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/{page}"
    if wanted not in opener.open(url, timeout=10).read():
        sys.exit(f"{url}: no {wanted.decode()}")
    sys.stdout.write(f"{url}: fine\n")
