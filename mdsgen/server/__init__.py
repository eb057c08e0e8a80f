"""Sound over HTTP: a film in a request, the file with its sound in the answer, and a page to do it by hand.

On Starlette and uvicorn, which the extra ``serve`` brings. One :class:`~mdsgen.Pipeline` serves all requests, one clip
after the other; what waits is bounded, and so is what a film may be.
"""

from mdsgen.server.process import serve
from mdsgen.server.settings import Limits, ServerSettings

__all__ = ["Limits", "ServerSettings", "serve"]
