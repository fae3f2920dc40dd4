"""From objects and pods to scrapes.  Pure: values in, values out.

pod.py          a pod as far as discovery reads it
selector.py     which pods an object means
annotations.py  what a pod's annotations say
annotated.py    which profile types are taken from a pod, and where
port.py         where in a pod the profiles are
series.py       which labels the series get
choice.py       which targets of an object are scraped, where it samples or has a limit
plan.py         all objects together: scrapes, drops and duplicates
"""
