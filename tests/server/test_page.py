"""What can be looked at: the page and its parts, health, counts, and the interface's own description."""

from __future__ import annotations

import re

import pytest

from mdsgen.server.order import TYPES
from tests.server.conftest import Running

KINDS = {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css", "/icon.svg": "image/svg+xml"}


@pytest.mark.parametrize("path", KINDS)
def test_the_page_has_no_foreign_host_and_nothing_inline(server: Running, path: str) -> None:
    answer = server.ask("GET", path)
    text = answer.body.decode().replace("http://www.w3.org/2000/svg", "")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, KINDS[path])
    assert "://" not in text
    assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", text)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


def test_the_page_s_parts_are_there(server: Running) -> None:
    page = server.ask("GET", "/").body.decode()
    parts = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert sorted(parts) == ["icon.svg", "page.css", "page.js"]
    assert all(server.ask("GET", f"/{part}").status == 200 for part in parts)


def test_the_script_names_what_is_on_the_page(server: Running) -> None:
    page = server.ask("GET", "/").body.decode()
    script = server.ask("GET", "/page.js").body.decode()
    named = set(re.findall(r'(?:at|show|say)\("(\w+)"[,)]', script)) - {"sending"}
    assert named <= set(re.findall(r'id="(\w+)"', page))


@pytest.mark.parametrize(
    "path", ["/page", "/../pyproject.toml", "/%2e%2e/app.py", "/page.js/..%2fapp.py", "//etc/passwd", "/v1/sounds/../x"]
)
def test_nothing_else_is_there(server: Running, path: str) -> None:
    assert server.ask("GET", path).status in (404, 405)


def test_health_says_what_runs(server: Running) -> None:
    health = server.ask("GET", "/health").json
    assert (health["status"], health["jobs"], health["running"]) == ("ok", 0, 0)


def test_the_counts_are_what_prometheus_reads(server: Running, clip: bytes) -> None:
    before = counts(server)
    assert server.sound("steps=1", clip).status == 200
    assert server.sound("steps=1", b"no film").status == 422
    after = counts(server)
    gained = {name: after[name] - before.get(name, 0.0) for name in after}
    assert gained["mdsgen_clips_total"] == 1
    assert gained['mdsgen_answers_total{status="422"}'] == 1
    assert gained["mdsgen_sound_seconds_total"] == 2
    assert gained["mdsgen_received_bytes_total"] == len(clip) + len(b"no film")
    assert gained["mdsgen_compute_seconds_total"] > 0
    assert after["mdsgen_jobs"] == 0


def counts(server: Running) -> dict[str, float]:
    """Every sample by its name; each is preceded by the type that it has."""
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    types = dict(re.fullmatch(r"# TYPE (\w+) (\w+)", line).groups() for line in lines if "# TYPE" in line)  # type: ignore[union-attr]
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert {name.partition("{")[0] for name in samples} <= set(types)
    return {name: float(value) for name, value in samples.items()}


def test_the_interface_describes_itself(server: Running) -> None:
    document = server.ask("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    sounds = document["paths"]["/v1/sounds"]["post"]
    assert list(sounds["responses"]["200"]["content"]) == list(TYPES.values())
    taken = server.sound("unknown=1", b"").error.split("one of ")[1]
    assert {parameter["name"] for parameter in sounds["parameters"]} == set(taken.split(", "))
    for path, methods in document["paths"].items():
        assert [server.ask(method.upper(), path).status for method in methods if "{" not in path].count(404) == 0
