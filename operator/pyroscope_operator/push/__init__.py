"""Brings profiles to Pyroscope: `push.v1.PusherService/Push` over Connect.

    Fanout ─► EndpointWriter ─► Queue ─► batch ─► PushClient ─► Pyroscope
    (a Sink)  (one per endpoint)  │                   │
                                  ▼                   ▼
                            DeliveryBook ◄── outcome ◄── answer

`answer` reads what the server said, `outcome` decides what that means for every
profile of the batch; both are pure.  `writer` acts.
"""
