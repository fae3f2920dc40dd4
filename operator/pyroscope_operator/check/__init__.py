"""`pyroscope-operator check FILE…`: what a cluster and the operator would say of these files, offline.

    command     the command line: flags, output, exit code
    inspect     files → findings
    judgement   what is wrong with one object
    finding     one line of the answer, and the answer as a whole

Nothing is decided here that the operator would decide in another way: rules and messages
are those of `api`, privileges those of `engine.verdict`.
"""
