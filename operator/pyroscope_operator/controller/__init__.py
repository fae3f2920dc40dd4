"""The only package that imports kopf or talks to Kubernetes.

kube.py        the few API calls that the operator makes itself
life.py        one run of Kopf, in a thread of its own
watch.py       Kopf handlers that record what they see, one life of Kopf after the other
sweep.py       finds what the watches missed, and knows when everything is listed
namespaces.py  the labels of namespaces, while somebody needs them
lease.py       one active operator per name
status.py      writes the status of the objects
operator.py    all of it together
"""
