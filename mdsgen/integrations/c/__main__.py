"""``python -m mdsgen.integrations.c FOLDER``: put ``libmdsgen.so`` and ``mdsgen.h`` into a folder.

It takes cffi, setuptools, a C compiler and a Python with a shared library: the one that runs this is the one inside.
"""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path

HEADER = Path(__file__).with_name("mdsgen.h")


def build(folder: Path) -> Path:
    """Make the library, and say where it is."""
    from cffi import FFI

    ffi = FFI()
    ffi.embedding_api(declarations(HEADER.read_text("utf-8")))
    libraries = str(sysconfig.get_config_var("LIBDIR"))
    ffi.set_source(
        "_mdsgen_c",
        f'#include "{HEADER}"',
        library_dirs=[libraries],
        extra_link_args=[f"-Wl,-rpath,{libraries}"],
    )
    ffi.embedding_init_code(
        "from _mdsgen_c import ffi, lib\nfrom mdsgen.integrations.c.calls import define\ndefine(ffi)"
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        built = ffi.compile(tmpdir=scratch, target="libmdsgen.*")
        shutil.copy(HEADER, folder)
        return Path(shutil.copy(built, folder))


def declarations(header: str) -> str:
    """What a header declares, without the preprocessor's lines and the braces that are C++'s."""
    lines = re.sub(r"#ifdef __cplusplus.*?#endif", "", header, flags=re.DOTALL).splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m mdsgen.integrations.c FOLDER")
    if find_spec("cffi") is None:
        sys.exit("error: the library for C needs cffi: pip install 'mdsgen[c]'")
    print(build(Path(sys.argv[1])))
