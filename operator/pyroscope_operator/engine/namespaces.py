"""Labels of namespaces, known only while objects select by them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum

from pyroscope_operator.model.ref import ObjectRef


class Knowledge(Enum):
    """How much is known of the namespaces."""

    PENDING = "pending"
    """They are not listed yet, or nobody has asked."""
    LISTED = "listed"
    REFUSED = "refused"
    """The API server does not let us list them."""


class Namespaces:
    """Labels of namespaces by name. Whoever lists them does so while `wanted` is set."""

    def __init__(self, touch: Callable[[], None]) -> None:
        """`touch` is called whenever something that matters is different."""
        self.labels: dict[str, Mapping[str, str]] = {}
        self.knowledge = Knowledge.PENDING
        self.edition = 0
        """Another one for each change of `knowledge`."""
        self.wanted = asyncio.Event()
        self.unwanted = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while it is known what they are, or that nobody will tell."""
        self._uids: dict[str, str] = {}
        self._new: set[str] = set()
        self._touch = touch

    def want(self, wanted: bool) -> None:
        """Whether there is an object that selects by these labels."""
        on, off = (self.wanted, self.unwanted) if wanted else (self.unwanted, self.wanted)
        on.set()
        off.clear()

    def put(self, name: str, uid: str, labels: Mapping[str, str]) -> None:
        self._uids[name] = uid
        if self.labels.get(name) != labels:
            self.labels[name] = labels
            self._change(name)

    def remove(self, name: str, uid: str | None = None) -> None:
        """Forget a namespace; with `uid`, only if it is still that one."""
        if name in self._uids and uid in {None, self._uids[name]}:
            del self._uids[name], self.labels[name]
            self._change(name)

    def take(self) -> set[str]:
        """The names of those that came, went or got other labels since this was last asked for."""
        taken, self._new = self._new, set()
        return taken

    def uids(self) -> dict[ObjectRef, str]:
        return {ObjectRef("", name): uid for name, uid in self._uids.items()}

    def listed(self) -> None:
        """All of them are known."""
        self._know(Knowledge.LISTED)

    def refused(self) -> None:
        """They can't be listed. What is known already stays in use, as pods do."""
        if self.knowledge is not Knowledge.LISTED:
            self._know(Knowledge.REFUSED)

    def forget(self) -> None:
        """Nobody watches them any more."""
        for name in list(self._uids):
            self.remove(name)
        self._know(Knowledge.PENDING)

    def _know(self, knowledge: Knowledge) -> None:
        if self.knowledge is knowledge:
            return
        self.knowledge = knowledge
        if knowledge is Knowledge.PENDING:
            self.settled.clear()
        else:
            self.settled.set()
        self.edition += 1
        self._touch()

    def _change(self, name: str) -> None:
        self._new.add(name)
        self._touch()
