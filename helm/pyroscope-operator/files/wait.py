"""Ends when the API server serves PyroscopeScrapes, at several looks in a row: there may be several API servers."""

import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
url = f"https://{f'[{host}]' if ':' in host else host}:{port}/apis/pyroscope-operator.dev/v1alpha1"
headers = {"Authorization": f"Bearer {(FOLDER / 'token').read_text().strip()}"}
context = ssl.create_default_context(cafile=str(FOLDER / "ca.crt"))
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
seen = 0
while seen < 4:
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=5).read()
        seen = seen + 1 if b'"PyroscopeScrape"' in answer else 0
    except OSError as error:
        seen = 0
        sys.stdout.write(f"not yet: {error}\n")
        sys.stdout.flush()
    time.sleep(0.5)
