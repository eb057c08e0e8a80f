"""The device side imports nothing of the PyTorch world, and an engine's library only where it is used."""

import json
import subprocess
import sys

HEAVY = ["torch", "onnx", "PIL", "diffusers", "transformers"]

IMPORT_ALL = """
import importlib, importlib.abc, json, pkgutil, sys

class Refusal(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise ImportError(f"{name} is not on the device")

sys.meta_path.insert(0, Refusal())
names = ["mdsgen", "mdsgen.geometry", "mdsgen.tensor", "mdsgen.errors"]
for package in ("runtime", "media", "bundle", "engines", "kernels", "scenes", "evaluation", "server", "integrations.c"):
    package = importlib.import_module(f"mdsgen.{package}")
    names += [package.__name__] + [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names += [f"mdsgen.cli.{n}" for n in ("eval", "info", "run", "serve")]
names += [f"mdsgen.integrations.{n}" for n in ("comfyui", "raw_video", "registration", "stretch")]
refused = {}
for name in names + EXTRA:
    try:
        importlib.import_module(name)
    except ImportError as error:
        refused[name] = str(error)
json.dump({"names": names, "refused": refused, "loaded": sorted(sys.modules)}, sys.stdout)
"""


def import_all(extra: list[str]) -> dict[str, list[str]]:
    """Import the device side, and ``extra``, in a fresh interpreter that refuses :data:`HEAVY`."""
    script = f"HEAVY = {HEAVY}\nEXTRA = {extra}\n{IMPORT_ALL}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    report: dict[str, list[str]] = json.loads(result.stdout)
    return report


def test_the_device_side_imports_without_the_pytorch_world() -> None:
    report = import_all(extra=[])
    assert not report["refused"]
    assert {"mdsgen.bundle.bundle", "mdsgen.engines.onnxruntime", "mdsgen.cli.info"} <= set(report["names"])
    assert "onnxruntime" not in report["loaded"]


def test_a_heavy_import_would_be_noticed() -> None:
    assert sorted(import_all(extra=HEAVY)["refused"]) == sorted(HEAVY)
