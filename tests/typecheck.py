"""Run mypy over the package as it is installed: four folders in one namespace, which mypy finds only as one folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "mdsgen")
        package.mkdir()
        for part in (ROOT / "mdsgen").iterdir():
            (package / part.name).symlink_to(part)
        for part in ("export", "engines", "kernels"):
            (package / part).symlink_to(ROOT / part)
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "-p", "mdsgen"]
        return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
