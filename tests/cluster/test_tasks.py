"""Tasks on a real Ray on this machine: every one is done, and a fault of this project's comes back as it is."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.children import finished

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'mdsgen[cluster]'")

TASKS = """
import sys
from functools import partial
from pathlib import Path
from mdsgen.cluster import open_tasks
from mdsgen.errors import DatasetError

def work(folder, number):
    if number == 99:
        raise DatasetError("task 99")
    (folder / str(number)).touch()

with open_tasks("local") as spread:
    work = partial(work, Path(sys.argv[1]))
    print(len(list(spread(work, range(12)))), len(list(spread(work, []))))
    try:
        list(spread(work, [99]))
    except DatasetError as error:
        print(error)
"""


def test_all_are_done(tmp_path: Path) -> None:
    result = finished([sys.executable, "-c", TASKS, str(tmp_path)])
    assert (result.returncode, result.stdout) == (0, "12 0\ntask 99\n"), result.stderr
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(12))
