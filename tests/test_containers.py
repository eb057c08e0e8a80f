"""The container files and the unit: what they copy exists, what they start is ours, and nobody is root."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from mdsgen.cli.serve import main as serve
from tests.children import finished
from tests.containers import FOLDER, IMAGES, ROOT, Image, requirements
from tests.runner import Runner

UNIT = FOLDER / "mdsgen.service"
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin")
ANALYZE = shutil.which("systemd-analyze")
STARTED = "/opt/mdsgen/bin/mdsgen-serve"

each_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
@each_image
def test_the_linter_is_content(image: Image) -> None:
    result = finished([str(HADOLINT), str(FOLDER / image.name)])
    assert (result.returncode, result.stdout) == (0, "")


@each_image
def test_what_is_copied_is_there_and_let_into_the_context(image: Image) -> None:
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = [copy.split()[0] for copy in image.all_of("COPY") if not copy.startswith("--from")]
    assert copied
    for source in copied:
        assert source == "." or source in allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_context_has_all_that_the_package_is_made_of() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    folders = set(re.findall(r'^"mdsgen[.\w]*" = "(\w+)"$', project, re.MULTILINE))
    allowed = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    assert {*folders, "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"} <= allowed


@each_image
def test_it_serves_on_every_address_as_nobody_in_particular(image: Image) -> None:
    assert image.last("ENTRYPOINT") == ["mdsgen-serve"]
    assert image.last("CMD") == ["--host", "0.0.0.0"]
    assert int(image.all_of("USER")[-1]) > 999
    words = [word for word, _ in image.instructions]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word == "RUN")


def test_without_a_token_that_is_refused() -> None:
    result = Runner().invoke(serve, ["--host", "0.0.0.0"], env={"MDSGEN_TOKEN": ""})
    assert result.exit_code == 2
    assert "give a --token" in result.stderr


def test_the_jetson_keeps_what_it_has() -> None:
    (image,) = [image for image in IMAGES if "jetson" in image.name]
    fetched = " ".join(requirements(image)[:-1])
    assert "tensorrt" not in fetched
    assert "onnxruntime" not in fetched
    ours = [step for step in image.steps if step.endswith("/source")]
    assert [("--no-deps" in step) for step in ours] == [True]
    (runtime,) = [step for step in image.steps if "onnxruntime" in step]
    assert re.search(r"find_spec\('onnxruntime'\).* \|\| .*pip install", runtime)


def test_the_jetson_gets_the_rest_of_the_lean_install() -> None:
    cpu, jetson = ([re.split("[<>=]", line)[0] for line in requirements(image)] for image in IMAGES)
    assert set(cpu) <= set(jetson)


@each_image
def test_the_health_check_asks_what_the_server_answers(image: Image) -> None:
    check = image.last("HEALTHCHECK")
    assert "http://127.0.0.1:8080/health" in check[-1]
    assert image.all_of("EXPOSE") == ["8080"]
    refused = finished([sys.executable, *check[1:-1], check[-1].replace("8080", "9")])
    assert refused.returncode != 0


def unit_here(folder: Path) -> Path:
    """The unit, of a command that exists on this machine."""
    copy = folder / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace(STARTED, "/bin/true"), "utf-8")
    return copy


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    result = finished([str(ANALYZE), "verify", str(unit_here(tmp_path))])
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze")
def test_the_unit_may_do_little(tmp_path: Path) -> None:
    result = finished([str(ANALYZE), "security", "--offline=true", "--threshold=20", str(unit_here(tmp_path))])
    if "unrecognized option" in result.stderr:
        pytest.skip("this systemd-analyze knows no --offline")
    assert result.returncode == 0, result.stdout[-200:]


def test_the_unit_starts_the_server_with_options_that_it_has() -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    command, *words = shlex.split(line)
    assert command == STARTED
    known = Runner().invoke(serve, ["--help"]).output
    assert all(word in known for word in words if word.startswith("--"))
