"""The bundle that everything uses when nobody names one."""

from __future__ import annotations

import os
from pathlib import Path

from mdsgen.bundle.graph import MANIFEST_FILE
from mdsgen.errors import BundleError

ENVIRONMENT = "MDSGEN_BUNDLE"
"""The environment variable that names another bundle than the packaged one."""

DEMO_FOLDER = Path(__file__).parents[1] / "demo"
"""Where this project's own trained model lies in the installed package."""


def default_bundle() -> Path:
    """The folder of the bundle that ``$MDSGEN_BUNDLE`` names, or else of the packaged demo model.

    Raises :class:`BundleError` where neither is there.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        if not Path(named).is_dir():
            raise BundleError(f"${ENVIRONMENT} is {named}: expected the folder of a bundle there, found none")
        return Path(named)
    if not (DEMO_FOLDER / MANIFEST_FILE).is_file():
        raise BundleError(
            f"no bundle is named, and this installation has no demo model: name one, in ${ENVIRONMENT} or with --bundle"
        )
    return DEMO_FOLDER
