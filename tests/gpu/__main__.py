"""``python -m tests.gpu``: all that only a GPU can show, in parts; see docs/tensorrt.md."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.gpu import REHEARSAL
from tests.gpu.parts import figures_in, parts_of, run_all
from tests.gpu.stub.library import environment, missing
from tests.gpu.targets import summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/gpu"), help="where logs, results and the bundle go")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, on a stub of the driver")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="only parts whose name holds this")
    options = parser.parse_args()
    folder = options.out.resolve()
    variables: dict[str, str] = {}
    if options.rehearse:
        if missing():
            parser.error(missing())
        (folder / "stub").mkdir(parents=True, exist_ok=True)
        os.environ[REHEARSAL] = "1"
        variables = environment(folder / "stub")
    parts = tuple(p for p in parts_of(folder) if not options.only or any(word in p.name for word in options.only))
    results = run_all(parts, folder, variables, lambda line: print(line, flush=True))
    print("\n=== summary")
    for result in results:
        print(f"{result.part}: {result.outcome}")
    print()
    print("\n".join(summary(figures_in(folder), options.rehearse)))
    report = folder / "stub" / "report"
    complaints = report.read_text(encoding="utf-8") if options.rehearse and report.exists() else ""
    if complaints:
        print(f"\nthe stub of the driver complains:\n{complaints}")
    went_well = all(result.outcome == "passed" or result.outcome.startswith("not run") for result in results)
    return 0 if went_well and not complaints else 1


if __name__ == "__main__":
    sys.exit(main())
