"""HTTP as a client: how requests reach the other side.

    clients.py      one transport for each way (`model.access.Access`); adds headers, credentials and tokens
    token.py        OAuth 2.0 tokens
    proxy.py        which proxy a request goes through
    lane.py         connections that are made alike, shared: chooses between aiohttp and httpcore
    lean.py         direct connections, plain HTTP/1.1: httpx's interface over connections of our own
    link.py         such a connection, which carries one request at a time
    head.py         the head of a request as bytes, made once
    reply.py        the answer as it is parsed and read, counted and bounded
    dial.py         addresses of a host, and a connected socket
    plain.py        httpx's interface over aiohttp: direct connections, HTTP/1.1 over TLS
    exchange.py     HTTP over httpcore's protocols: HTTP/2, and whatever goes through a proxy
    tunnel.py       what is said to a proxy first
    wire.py         the bytes of a connection of httpcore's, counted and bounded
    goodbye.py      servers that end an HTTP/2 connection in order
    tls.py          SSLContexts, and what of TlsSettings can't be used
    sockets.py      sockets: counted, bounded, and only where they may lead
    destination.py  which addresses that is
    connection.py   a connection of aiohttp's that takes one answer to each request, and little else
    faults.py       what went wrong, in words of this machine
    loop.py         the operator's event loop

It knows neither profiles nor objects.
"""
