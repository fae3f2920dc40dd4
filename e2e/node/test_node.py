def test_ready(kubectl):
    print(kubectl("get", "node", "-o", "wide"))
    print(kubectl("run", "demo", "--image=localhost/demoapp:e2e", "--", "--listen=:6060"))
    print(kubectl("wait", "--for=condition=Ready", "pod/demo", "--timeout=60s", check=False))
    print(kubectl("describe", "pod", "demo"))
    print(kubectl("logs", "demo"))
