"""Brings profiles to Pyroscope: `push.v1.PusherService/Push` over Connect.

    Fanout ─► EndpointWriter ─► Queue ─► batch ─► PushClient ─► Pyroscope
    (a Sink)  (one per endpoint)  │                   │
                                  ▼                   ▼
                            DeliveryBook ◄── outcome ◄── answer

A write is a set of endpoints: what a PyroscopeWrite says, or the operator's flags
(`endpoint.FLAGS`).  `Fanout.sync` is told which there are; everything is kept by
`endpoint.EndpointKey`, write and endpoint.  `memory` bounds all queues together.

`answer` reads what the server said, `outcome` decides what that means for every
profile of the batch; both are pure.  `writer` acts.
"""
