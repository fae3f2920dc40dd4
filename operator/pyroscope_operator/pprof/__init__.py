"""pprof profiles as bytes: undo gzip, check, take differences, make ready for the push.

    prepare ──► core       who does it: the native core (native/, Rust) or, where it is missing, the oracle
       │
       ├─────► gunzip     gzip to raw protobuf and back, bounded
       └─────► delta      two cumulative profiles to their difference

    oracle ──► the same in plain Python: slower, but easier to believe
       ├─ budget     whether a profile is worth parsing
       ├─ check      raw protobuf to a message whose references all hold
       ├─ key        what makes two samples the same one
       └─ assembly   a profile of some samples of another

Everything here is sync and pure: bytes in, bytes or `ProfileError` out.  The bodies
come from arbitrary pods, so every function has to stand hostile input.
"""
