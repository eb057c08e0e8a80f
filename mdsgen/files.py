"""Files and folders that are there whole or not at all, whatever happens while they are written.

What is being written lies beside its place under a hidden name, ``.mdsgen-<random>-<name>``, and moves there when it
is complete and on the disk. The writing process holds a lock on it, so that what a killed process left behind can be
told from what is still being written: :func:`sweep` removes the former.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_HIDDEN = re.compile(r"\.mdsgen-[0-9a-f]{8}([-.])(.*)", re.DOTALL)
_OLD = ".old-"
_under_way: set[Path] = set()  # hidden names that this process has
_CHUNK = 1 << 20  # bytes read at a time: large enough to keep the hash busy, small enough for any device
_LONGEST_NAME = 255  # bytes, on all common file systems
_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside ``path``, with the same suffix: takes its place at a clean exit, else it is removed.

    Raises :class:`OSError` where that is not possible, or where ``path`` is a folder, a device or a pipe. Until the
    block ends well, what was at ``path`` stays as it was.
    """
    target = Path(path).resolve()  # through a link, so that the link stays
    if target.exists() and not target.is_file():
        kind = errno.EISDIR if target.is_dir() else errno.EINVAL
        raise OSError(kind, os.strerror(kind), str(target))
    sweep(target.parent)
    file, lock = _new(target, _create_file)
    try:
        yield file
        _sync(file)
        os.replace(file, target)
        _sync_quietly(target.parent)
    finally:
        file.unlink(missing_ok=True)
        _under_way.discard(file)
        os.close(lock)


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Put a text in UTF-8, or bytes, into a file in place of what it holds: all of it or nothing. Raises `OSError`."""
    with whole_file(path) as file:
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256(path: str | os.PathLike[str]) -> str:
    """The checksum of a file, read in pieces, as a hexadecimal number."""
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def crc32(path: str | os.PathLike[str]) -> int:
    """A checksum that tells damage, though no intent, in a third of the time that :func:`sha256` takes."""
    found, buffer = 0, memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            found = zlib.crc32(buffer[:count], found)
    return found


@contextmanager
def whole_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` that takes its place at a clean exit, with all that was written into it.

    With ``replace`` a folder that is there is exchanged for the new one; without it only an empty one is. A kill at any
    moment leaves the old one or the new one, or, where the system cannot exchange two names at once, the old one under
    a hidden name from which :func:`recover` and :func:`sweep` bring it back. After any exception ``path`` is as it was.
    """
    target = Path(path).resolve()
    _check_folder(target, replace)
    with hidden_folder(target) as folder:
        yield folder
        _sync_tree(folder)
        _check_folder(target, replace)
        if not _has_content(target):
            folder.rename(target)
        elif not _exchange(folder, target):
            _rename_twice(folder, target)
        _sync_quietly(target.parent)


@contextmanager
def hidden_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden folder beside ``path``, on the same disk, for what is made there: gone afterwards, with its content.

    Parents that were missing are made, and are gone too where nothing came to be in them.
    """
    target = Path(path).resolve()
    new_parents = [parent for parent in target.parents if not parent.exists()]
    folder, lock = None, None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        folder, lock = _new(target, os.mkdir)
        yield folder
    finally:
        if folder is not None and lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            _under_way.discard(folder)
            os.close(lock)
        for parent in new_parents:
            with suppress(OSError):  # there is something in it, or someone else uses it by now
                parent.rmdir()


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left half written in ``folder``; what a process still writes is left alone.

    A folder that such a process had moved aside, and whose place is empty, gets its name back.
    """
    with suppress(OSError):
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".mdsgen-")]
        for path in (Path(folder, name) for name in names if _HIDDEN.fullmatch(name)):
            with suppress(OSError):  # removed or finished by another process at this moment
                _clear(path)


def abandon() -> None:
    """Remove what this process is writing at this moment, as it is about to end without unwinding."""
    for path in list(_under_way):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def recover(path: str | os.PathLike[str]) -> None:
    """Give a folder its name back that a kill left between two renames; nothing is done where it is in its place."""
    target = Path(path).resolve()
    if not target.exists():
        sweep(target.parent)


def _clear(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY)
    try:
        if not _lock(lock, wait=False) or not _is_at(lock, path):
            return
        home = _home_of_old(path)
        if home is not None and not home.exists():
            path.rename(home)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(lock)


def _home_of_old(path: Path) -> Path | None:
    """Where a folder that was moved aside belongs; None for what is new."""
    found = _HIDDEN.fullmatch(path.name)
    if found is None or not (found[1] + found[2]).startswith(_OLD):
        return None
    return path.with_name(found[2].removeprefix(_OLD[1:]))


def _new(target: Path, create: Callable[[Path], object]) -> tuple[Path, int]:
    """Make a hidden file or folder beside ``target``, and lock it: its path and the open descriptor."""
    while True:
        path = target.with_name(f".mdsgen-{secrets.token_hex(4)}-{target.name}")
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            path = target.with_name(f".mdsgen-{secrets.token_hex(4)}-{target.suffix}")
        create(path)
        with suppress(FileNotFoundError):  # swept away by another thread or process before it was opened
            lock = os.open(path, os.O_RDONLY)
            _lock(lock, wait=True)
            if _is_at(lock, path):
                _under_way.add(path)
                return path, lock
            os.close(lock)  # or before it was locked


def _create_file(path: Path) -> None:
    path.touch(exist_ok=False)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Whether this process has the lock now; False too on file systems that lock nothing."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _check_folder(target: Path, replace: bool) -> None:
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    if not replace and _has_content(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _has_content(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # no such function, or no such library
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):  # an old kernel, or a file system without it
        return False
    raise OSError(code, os.strerror(code), str(other))


def _rename_twice(folder: Path, target: Path) -> None:
    """The old folder steps aside, the new one takes its place; the old one comes back should that fail."""
    old = target.with_name(f".mdsgen-{secrets.token_hex(4)}{_OLD}{target.name}")
    lock = os.open(target, os.O_RDONLY)  # so that nobody sweeps it in the meantime
    try:
        _lock(lock, wait=True)
        target.rename(old)
        try:
            folder.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        os.close(lock)


def _sync_tree(folder: Path) -> None:
    """Wait until everything in a folder is on the disk."""
    for path in (*folder.rglob("*"), folder):
        if stat.S_ISREG(path.lstat().st_mode):
            _sync(path)
        elif path.is_dir() and not path.is_symlink():
            _sync_quietly(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_quietly(folder: Path) -> None:
    """Wait until a folder's entries are on the disk, where the system can: what was renamed is there either way."""
    with suppress(OSError):
        _sync(folder)
