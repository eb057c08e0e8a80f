"""What can be wrong with a wish for a scene."""

from mdsgen.errors import MdsgenError


class SceneError(MdsgenError, ValueError):
    """A scene that cannot be drawn: an unknown kind, or lengths that do not fit."""
