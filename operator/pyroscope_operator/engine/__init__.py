"""The engine: the same with Kubernetes and without (`run --standalone`).

store.py       what is known: objects and pods
verdict.py     whether an object is accepted
secrets.py     what is known of the Secrets and ConfigMaps that objects refer to
access.py      an object and its Secrets → the way to its targets, or why there is none
refusal.py     what follows when a target refuses credentials
writes.py      PyroscopeWrites → verdicts and the endpoints that run
reconciler.py  store → plan → fan-out and scrape pool
engine.py      the parts, held together
conditions.py  what is right and wrong with an object; write_conditions.py: with a PyroscopeWrite
report.py      the status of an object
turns.py       long work on the event loop, with turns for all others
snapshot.py    all that is known at one moment; shown.py: labels as they may be shown
subject.py     what somebody asks about
explain.py     why a pod is or isn't scraped, as /api/v1/explain says it
overview.py    everything at once, as /api/v1/targets says it
"""
