"""A request's body as it arrives: in time, up to its end, or given up."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

PATIENCE = 30.0  # seconds that a client may send nothing
_DRAINED, _DRAINING = 64 * 2**20, 5.0  # bytes and seconds that a refused body is still read for


class Body:
    """Wraps an ASGI ``receive``. ``complete`` says that all of the body has come, or that the client is gone."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive, self.complete = receive, False
        self._waits_for_leave = "expect" in headers  # to be told "100 Continue" before it sends anything

    async def receive(self) -> Message:
        """The next ASGI message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.complete = True
        self._waits_for_leave = False
        return message

    async def drain(self) -> None:
        """Read what a refused request still sends, for a moment: a client that is busy sending reads no answer."""
        if self._waits_for_leave:
            return
        with anyio.move_on_after(_DRAINING):
            size = 0
            while not self.complete and size < _DRAINED:
                size += len((await self.receive()).get("body", b""))


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """The parts of a body. Raises :class:`ClientDisconnect` where it is cut off, status 408 where nothing comes."""
    more = True
    while more:
        try:
            with anyio.fail_after(PATIENCE):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, f"nothing came for {PATIENCE:.0f} s") from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def departure(receive: Receive) -> None:
    """Returns when the client has gone; to be asked once its body has come."""
    while (await receive())["type"] != "http.disconnect":
        pass
