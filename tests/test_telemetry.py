"""No library that runs here keeps or sends anything of its use: a fresh home stays empty, and no host is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

GRAPH = Path(__file__).parent / "fixtures" / "affine.onnx"

OPEN = """
import sys, time
from mdsgen.engines import open_engine
import numpy as np
with open_engine(sys.argv[1], sys.argv[2]) as engine:
    engine.run({spec.name: np.zeros([2 if isinstance(n, str) else n for n in spec.shape], spec.dtype)
                for spec in engine.inputs})
time.sleep(0.2)
"""

WATCH = r"""
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>

static void note(const char* what) {
    FILE* file = fopen(getenv("WATCHED"), "a");
    if (file) fprintf(file, "%s\n", what), fclose(file);
}

int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints, struct addrinfo** found) {
    (void)service, (void)hints, (void)found;
    note(node ? node : "getaddrinfo");
    return EAI_FAIL;
}

int socket(int domain, int type, int protocol) {
    (void)type, (void)protocol;
    note(domain == AF_UNIX ? "unix socket" : "socket");
    return -1;
}
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that notes every host name and socket that a process asks for, and gives it none."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    folder = tmp_path_factory.mktemp("watch")
    (folder / "watch.c").write_text(WATCH)
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", folder / "watch.so", folder / "watch.c"]
    subprocess.run(command, check=True, timeout=60)
    return folder / "watch.so"


def traces(folder: Path, watch: Path, *arguments: object) -> tuple[list[str], list[str]]:
    """What a Python process leaves in its fresh home, and what it asks the network for."""
    home, watched = folder / "home", folder / "watched"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_", "CI"))}
    environment = {**kept, "HOME": str(home), "MDSGEN_CACHE": str(folder / "cache"), "WATCHED": str(watched)}
    environment["LD_PRELOAD"] = str(watch)
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    asked = watched.read_text().splitlines() if watched.exists() else []
    return sorted(str(path.relative_to(home)) for path in home.rglob("*")), asked


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_leaves_nothing_and_asks_nobody(tmp_path: Path, watch: Path, engine: str) -> None:
    if not find_spec(engine):
        pytest.skip(f"{engine} is not installed")
    assert traces(tmp_path, watch, "-c", OPEN, GRAPH, engine) == ([], [])


def test_a_command_leaves_nothing_and_asks_nobody(tmp_path: Path, watch: Path, bundle_path: Path) -> None:
    sound, video = tmp_path / "sound.wav", Path(__file__).parents[1] / "assets" / "sample.mp4"
    arguments = [video, "--bundle", bundle_path, "-o", sound, "--steps", "1", "--engine", "auto"]
    assert traces(tmp_path, watch, "-m", "mdsgen.cli.run", *arguments) == ([], [])
    assert sound.exists()


ASK = """
import os, socket
open(os.path.expanduser("~/trace"), "w").close()
try:
    socket.create_connection(("a.example", 80))
except OSError:
    pass
"""


def test_the_watch_sees_what_it_is_there_for(tmp_path: Path, watch: Path) -> None:
    assert traces(tmp_path, watch, "-c", ASK) == (["trace"], ["a.example"])


def test_what_is_hidden_is_there_again_afterwards() -> None:
    from mdsgen.telemetry import hidden

    with hidden("json"), pytest.raises(ImportError):
        import json
    import json

    with hidden("no_such_module"):
        pass
    assert "no_such_module" not in sys.modules
    assert json.dumps(1) == "1"
