"""Many at once: a row that is bounded, progress, and work that ends when nobody waits for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection

import pytest

from tests.server.conftest import TIMEOUT, Gate, Running, Start


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_there_is_room_for_one_and_those_that_wait(server: Running, clip: bytes, gate: Gate) -> None:
    with ThreadPoolExecutor(3) as clients:
        taken = [clients.submit(server.sound, f"steps=1&format=wav&seed={seed}", clip) for seed in range(3)]
        until(lambda: len(server.jobs) == 3)
        refused = server.sound("steps=1", clip)
        assert (refused.status, refused.error) == (503, "3 clips are before you: try again")
        assert int(refused.headers["retry-after"]) >= 1
        health = server.ask("GET", "/health").json
        assert (health["status"], health["jobs"]) == ("ok", 3)
        gate.opened.set()
        assert [answer.result(TIMEOUT).status for answer in taken] == [200, 200, 200]
    assert len({answer.result().body for answer in taken}) == 3
    assert (len(server.jobs), server.left) == (0, [])


def test_clients_at_once_get_what_they_would_get_alone(server: Running, clip: bytes) -> None:
    alone = [server.sound(f"steps=1&format=wav&seed={seed}", clip).body for seed in range(3)]
    with ThreadPoolExecutor(3) as clients:
        together = clients.map(lambda seed: server.sound(f"steps=1&format=wav&seed={seed}", clip).body, range(3))
    assert list(together) == alone


def test_the_progress_can_be_followed(server: Running, clip: bytes, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as client, closing(HTTPConnection(server.host, timeout=TIMEOUT)) as follower:
        follower.request("GET", "/v1/jobs/mine/events")  # before there is such a job
        making = client.submit(server.sound, "steps=4&format=wav&job=mine", clip)
        stream = follower.getresponse()
        assert (stream.status, stream.getheader("content-type")) == (200, "text/event-stream; charset=utf-8")
        assert gate.reached.wait(TIMEOUT)
        events = []
        while not events or events[-1]["state"] != "running" or not events[-1]["fraction"]:
            events += _events([stream.readline() for _ in range(3)])
        gate.opened.set()
        events += _events(stream.read().splitlines())
        assert making.result(TIMEOUT).status == 200
    assert [event["fraction"] for event in events] == sorted(event["fraction"] for event in events)
    assert events[-1] == {"state": "done", "fraction": 1.0, "ahead": 0}


def _events(lines: list[bytes]) -> list[dict[str, object]]:
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


def test_a_job_that_never_comes_cannot_be_followed(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsgen.server.app._ARRIVAL", 0.0)
    answer = server.ask("GET", "/v1/jobs/nobody/events")
    assert (answer.status, answer.error) == (404, "there is no such job")


def test_two_jobs_cannot_share_a_name(server: Running, clip: bytes, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as client:
        first = client.submit(server.sound, "steps=1&job=a", clip)
        assert gate.reached.wait(TIMEOUT)
        second = server.sound("steps=1&job=a", clip)
        assert (second.status, second.error) == (409, "there is a job a already")
        gate.opened.set()
        assert first.result(TIMEOUT).status == 200


def test_whoever_leaves_cancels_the_work(server: Running, clip: bytes, gate: Gate) -> None:
    with server.begin(clip, "steps=50"):
        assert gate.reached.wait(TIMEOUT)
        assert server.left
    until(lambda: len(server.jobs) == 0)
    assert (server.left, server.jobs.running) == ([], 0)


def test_whoever_leaves_the_row_makes_room(server: Running, clip: bytes, gate: Gate) -> None:
    with ThreadPoolExecutor(1) as client:
        first = client.submit(server.sound, "steps=1", clip)
        assert gate.reached.wait(TIMEOUT)
        with server.begin(clip, "steps=1&job=second"):
            until(lambda: (job := server.jobs.named("second")) is not None and job.state == "waiting")
        until(lambda: len(server.jobs) == 1)  # though the first is not done
        gate.opened.set()
        assert first.result(TIMEOUT).status == 200


def test_a_film_that_is_cut_off_on_its_way_leaves_nothing(server: Running, clip: bytes) -> None:
    with server.begin(clip, "steps=1", sent=len(clip) // 2):
        until(lambda: len(server.jobs) == 1 and server.left != [])
    until(lambda: len(server.jobs) == 0)
    assert server.left == []


def test_a_client_that_sends_nothing_loses_its_place(
    server: Running, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsgen.server.body.PATIENCE", 0.05)
    monkeypatch.setattr("mdsgen.server.body._DRAINING", 0.05)
    with server.begin(clip, "steps=1", sent=100) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
    assert (len(server.jobs), server.left) == (0, [])


def test_a_stop_ends_all_work(start: Start, clip: bytes, gate: Gate) -> None:
    with start() as server, ThreadPoolExecutor(2) as clients:
        taken = [clients.submit(server.sound, "steps=50", clip) for _ in range(2)]
        assert gate.reached.wait(TIMEOUT)
        until(lambda: len(server.jobs) == 2)
        server.stop()
        answers = [answer.result(TIMEOUT) for answer in taken]
        assert [(answer.status, answer.error) for answer in answers] == [(503, "the server is stopping")] * 2
        assert all(answer.headers["retry-after"] for answer in answers)
        until(lambda: server.left == [])
