"""The engine: the same with Kubernetes and without (`run --standalone`).

store.py       what is known: objects and pods
verdict.py     whether an object is accepted
writes.py      PyroscopeWrites → verdicts and the endpoints that run
reconciler.py  store → plan → fan-out and scrape pool
engine.py      the parts, held together
conditions.py  what is right and wrong with an object; write_conditions.py: with a PyroscopeWrite
report.py      the status of an object
overview.py    everything at once, as /api/v1/targets says it
"""
