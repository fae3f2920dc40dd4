"""pprof profiles as bytes: undo gzip, check, take differences, make ready for the push.

    prepare ──► gunzip     gzip to raw protobuf and back, bounded
       │
       ├─────► check       raw protobuf to a message whose references all hold
       └─────► delta       two cumulative profiles to their difference
                 ├─ key        what makes two samples the same one
                 └─ assembly   a profile of some samples of another

Everything here is sync and pure: bytes in, bytes or `ProfileError` out.  The bodies
come from arbitrary pods, so every function has to stand hostile input.
"""
