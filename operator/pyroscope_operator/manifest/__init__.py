"""Manifests in files: YAML or JSON, as kubectl reads them, with the place of everything in the file.

    read      the bytes of a file → its documents, or a ManifestError
    compose   text → nodes: bounded in depth and in what aliases expand to
    node      a value that knows where it stands in the file
    scalar    what an unquoted word means
    objects   which nodes are objects, and in what list they stand

It knows nothing of our API but the name of its kind, so that `check` and standalone mode
share it: one file means the same to both, and to a cluster.
"""
