"""The part that builds plans: of the bundle that $MDSGEN_GPU_BUNDLE names, or of one that is made now.

$PLAN_OPTIONS are more options for ``mdsgen-export``, such as ``--optimisation-level 2``. A bundle that is named and has
plans for this machine keeps them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from mdsgen.bundle import Bundle
from mdsgen.engines.plans import PLANS_FOLDER, PlanRecord
from mdsgen.errors import EngineError, MdsgenError
from mdsgen.export.plans import this_machine
from tests.gpu import BUNDLE, REHEARSAL, measured

SMALL = Path(__file__).parents[1] / "fixtures" / "bundle"


def main() -> int:
    bundle = Path(os.environ[BUNDLE])
    try:
        if not _planned(bundle):
            subprocess.run(_command(bundle), check=True)
        return 0 if measured("plans", _worst(bundle)) else 1
    except (MdsgenError, subprocess.CalledProcessError) as error:
        print(error)
        return 1


def _command(bundle: Path) -> list[str]:
    """Export and plans, or the plans alone."""
    options = shlex.split(os.environ.get("PLAN_OPTIONS", ""))
    if REHEARSAL in os.environ and not bundle.exists():
        shutil.copytree(SMALL, bundle)
    export = [sys.executable, "-m", "mdsgen.cli.export", "--engine", "tensorrt", *options]
    if bundle.exists():
        return [*export, "--bundle", str(bundle)]
    if not find_spec("torch"):
        raise EngineError(f"there is no PyTorch to export a bundle with: name one with {BUNDLE}")
    made = ["--untrained", "--model", "tiny", "--geometry", "paper", "--precision", "fp16", "-o", str(bundle)]
    return [*export, *made]


def _planned(bundle: Path) -> bool:
    """Whether there are plans for this machine already."""
    return (bundle / PLANS_FOLDER / this_machine().key).is_dir()


def _worst(bundle: Path) -> float:
    """Decibels of the network that differs most from ONNX Runtime."""
    Bundle.open(bundle)
    record = PlanRecord.read(bundle / PLANS_FOLDER / this_machine().key)
    print(record.machine)
    figures = [figure["snr_db"] for figure in record.quality if not str(figure["graph"]).startswith("clip")]
    return min(float("inf") if figure is None else float(figure) for figure in figures)


if __name__ == "__main__":
    sys.exit(main())
