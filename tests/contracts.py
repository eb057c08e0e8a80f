"""Check who imports whom: the contracts in pyproject.toml, over the package as it is installed, four folders in one."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        sources_only = shutil.ignore_patterns("*.onnx*", "__pycache__", "demo")
        package = Path(shutil.copytree(ROOT / "mdsgen", Path(folder, "mdsgen"), ignore=sources_only))
        for part in ("export", "engines", "kernels"):
            shutil.copytree(ROOT / part, package / part, ignore=sources_only)
        shutil.copy(ROOT / "pyproject.toml", folder)
        program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
        command = [sys.executable, "-c", program, "--no-cache"]
        environment = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
