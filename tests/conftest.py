"""For the whole test run."""

import asyncio

# looptime asks for the current event loop even in tests without one. Until somebody has
# set a loop Python then makes one, which nobody closes; having set None is enough.
asyncio.set_event_loop(None)
