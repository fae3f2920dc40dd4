"""The engine: the same with Kubernetes and without (`run --standalone`).

store.py       what is known: objects and pods
verdict.py     whether an object is accepted
reconciler.py  store → plan → scrape pool
engine.py      the parts, held together
conditions.py  what is right and wrong with an object
report.py      the status of an object
overview.py    everything at once, as /api/v1/targets says it
"""
