"""HTTP as a client: how requests reach the other side.

    clients.py      one transport for each way (`model.access.Access`), shared by all who go it
    plain.py        httpx's interface over aiohttp: direct connections, HTTP/1.1
    connection.py   a connection of it that takes one answer to each request, and little else
    faults.py       what went wrong, in words of this machine
    loop.py         the operator's event loop

It knows neither profiles nor objects.
"""
