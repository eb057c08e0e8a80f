"""The page in a real browser: Chromium where it is installed, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mdsgen.media import probe, read_sound
from tests.server.conftest import Running

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
WAIT = 15_000  # milliseconds

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium"),
    pytest.mark.timeout(90),
]

LISTEN = """
() => {
  window.told = [];
  new MutationObserver(() => told.push(document.getElementById("state").textContent))
    .observe(document.getElementById("state"), { childList: true, characterData: true, subtree: true });
}
"""
"""Keeps everything that the page says of its work."""

PLAY = """
async () => {
  const film = document.getElementById("film"), context = new AudioContext();
  const analyser = context.createAnalyser(), samples = new Float32Array(analyser.fftSize);
  context.createMediaElementSource(film).connect(analyser).connect(context.destination);
  await context.resume();
  await film.play();
  let peak = 0;
  for (const end = performance.now() + 5000; performance.now() < end && !(film.currentTime > 0.3 && peak > 0.001);) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    analyser.getFloatTimeDomainData(samples);
    peak = Math.max(peak, ...samples.map(Math.abs));
  }
  film.pause();
  return { peak, time: film.currentTime, needle: parseFloat(document.getElementById("needle").style.left) };
}
"""
"""Plays what came back, and gives the loudest sample that was heard."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, timeout=WAIT)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    """The page on a desktop; whatever goes wrong in its script fails the test."""
    faults: list[str] = []
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(WAIT)
    opened.on("pageerror", lambda fault: faults.append(str(fault)))
    opened.goto(f"http://{server.host}/")
    opened.select_option("#quality", "fast")
    opened.evaluate(LISTEN)
    yield opened
    opened.close()
    assert not faults


def test_a_film_goes_up_and_is_heard(page: Page, clip: bytes, tmp_path: Path) -> None:
    page.set_input_files("#file", {"name": "ball.mp4", "mimeType": "video/mp4", "buffer": clip})
    page.wait_for_selector("body[data-shown=whole]")
    told = page.evaluate("told")
    steps = "sending", "waiting", "making the sound"  # the last one is not seen where the sound is there at once
    assert any(line.startswith(steps) for line in told)
    assert page.is_hidden("#work")
    heard = page.evaluate(PLAY)
    assert heard["peak"] > 0.001
    assert heard["time"] > 0.3
    assert heard["needle"] > 0
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "ball.mdsgen.mp4"
    download.value.save_as(tmp_path / "ball.mp4")
    assert probe(tmp_path / "ball.mp4").duration == pytest.approx(2, abs=0.05)
    assert max(abs(block).max() for block in read_sound(tmp_path / "ball.mp4")) > 0.001


def test_what_is_no_film_is_said(page: Page) -> None:
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no film at all\n" * 9})
    page.wait_for_selector("#fault:not([hidden])")
    assert "video" in page.inner_text("#fault")
    assert page.is_hidden("#result")
    assert page.is_hidden("#work")


def test_on_a_phone_nothing_lies_beside_the_screen(page: Page, clip: bytes) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.set_input_files("#file", {"name": "ball.mp4", "mimeType": "video/mp4", "buffer": clip})
    page.wait_for_selector("body[data-shown=whole]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
