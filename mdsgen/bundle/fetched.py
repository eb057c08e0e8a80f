"""Bundles of the hub, fetched into a folder of this machine's."""

from __future__ import annotations

import json
from dataclasses import replace

from mdsgen.bundle.graph import MANIFEST_FILE
from mdsgen.bundle.manifest import Manifest
from mdsgen.cache import cache_folder
from mdsgen.errors import BundleError
from mdsgen.hub import HubName, Located, fetch


def fetch_bundle(name: HubName) -> Located:
    """Fetch the manifest and the files that it names, of one commit, as far as they are not here yet.

    They are files of their own, not links into the hub's cache: OpenVINO opens no weights outside of a graph's folder.
    Raises :class:`~mdsgen.errors.HubError`, and :class:`BundleError` for a manifest that is none.
    """
    first = fetch(name.below(MANIFEST_FILE))
    pinned = replace(name, revision=first.name.revision if first.name else None)
    try:
        manifest = Manifest.from_dict(json.loads(first.path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, BundleError) as error:
        raise BundleError(f"{pinned}: its {MANIFEST_FILE} cannot be read ({error})") from error
    home = cache_folder("bundles") / pinned.repository.replace("/", "--") / str(pinned.revision)
    for file in (MANIFEST_FILE, *(part.file for part in manifest.files)):
        fetch(pinned.below(file), into=home)
    return Located(home / pinned.path, pinned)
