"""Files on the Hugging Face hub, by name: ``hf://owner/name[/path][@revision]``.

They are fetched by huggingface_hub, which the extra ``hub`` brings, into its own cache; what is there already is used
again, and without a network or with ``HF_HUB_OFFLINE`` nothing else is. ``HF_ENDPOINT`` names another hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mdsgen.errors import HubError, SettingsError
from mdsgen.files import sha256

SCHEME = "hf://"
_PART = r"[A-Za-z0-9][\w.-]*"
_FORM = re.compile(rf"{SCHEME}({_PART}/{_PART})((?:/{_PART})*)(?:@([A-Za-z0-9][\w./-]*))?", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """A file or folder (``path``, empty for all) of a ``repository``; ``revision`` is a branch, a tag or a commit."""

    repository: str
    path: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName:
        """Raises :class:`SettingsError` for another form."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise SettingsError(f"expected hf://owner/name, with /path and @revision where needed, not {text!r:.200}")
        return cls(found[1], found[2].removeprefix("/"), found[3])

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        return f"{SCHEME}{self.repository}{path}" + (f"@{self.revision}" if self.revision else "")

    def below(self, path: str) -> HubName:
        """The name of what lies below this folder."""
        return replace(self, path=f"{self.path}/{path}" if self.path else path)


@dataclass(frozen=True)
class Located:
    """Where a file or folder lies here; ``name`` is what it was fetched by, with its commit as revision, if it was."""

    path: Path
    name: HubName | None = None

    @property
    def origin(self) -> dict[str, str]:
        """What a provenance says of it."""
        return {} if self.name is None else {"source": str(self.name)}


def is_hub_name(source: object) -> bool:
    """Whether this is meant as a name on the hub."""
    return isinstance(source, str) and source.startswith(SCHEME)


def locate(source: str | os.PathLike[str]) -> Located:
    """A file here as it is, or one of the hub, fetched. Raises :class:`HubError`."""
    if not is_hub_name(source):
        return Located(Path(source))
    name = HubName.parse(str(source))
    if not name.path:
        raise HubError(f"{name} is a whole repository: name a file of it, as in {name.below('file')}")
    return fetch(name)


def fetch(name: HubName, into: Path | None = None) -> Located:
    """Fetch a file of the hub, or find it where it was fetched before; a download that breaks off is taken up again.

    With ``into`` it lies in that folder as a file of its own, else in the cache of huggingface_hub, where a file whose
    SHA-256 the hub knows is compared with that. Raises :class:`HubError`.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise HubError(f"{name} needs huggingface_hub ({error}): pip install 'mdsgen[hub]'") from error
    try:
        path = Path(hf_hub_download(name.repository, name.path, revision=name.revision, local_dir=into))
    except Exception as error:  # whatever the hub, the network or its absence makes huggingface_hub raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HubError(f"{name} cannot be fetched ({reason:.300})") from error
    if into is not None:
        return Located(path, name)
    _check(name, path)
    commit = path.parents[len(PurePosixPath(name.path).parts) - 1].name  # …/snapshots/<commit>/<path>
    return Located(path, replace(name, revision=commit))


def fetch_first(name: HubName, files: Iterable[str]) -> Located:
    """The first of these ``files`` below ``name`` that the hub has. Raises :class:`HubError` where it has none."""
    faults = []
    for file in files:
        try:
            return fetch(name.below(file))
        except HubError as error:
            faults.append(error)
    raise faults[-1]


def _check(name: HubName, path: Path) -> None:
    """The cache names large files by their SHA-256, and links to them."""
    expected = Path(os.readlink(path)).name if path.is_symlink() else ""
    if not re.fullmatch("[0-9a-f]{64}", expected):
        return
    found = sha256(path)
    if found != expected:
        raise HubError(
            f"{path} is damaged: expected SHA-256 {expected}, found {found}; remove it, and {name} is fetched"
        )
