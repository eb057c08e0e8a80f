"""Who may ask: this machine, or whoever has the token; never a page of another site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mdsgen import Pipeline
from mdsgen.errors import SettingsError
from mdsgen.server import ServerSettings
from tests.server.conftest import Running, running

TOKEN = "correct-horse"


@pytest.fixture(scope="module")
def guarded(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(pipeline, tmp_path_factory.mktemp("guarded"), ServerSettings(port=0, token=TOKEN)) as found:
        yield found


@pytest.mark.parametrize("path", ["/v1/sounds", "/v1/jobs/a/events", "/metrics", "/v1/nothing"])
@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ", "Bearer \xe9"])
def test_without_the_token_nothing_private_is_answered(guarded: Running, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = guarded.ask("POST" if path == "/v1/sounds" else "GET", path, b"film", **headers)
    assert (answer.status, answer.error) == (401, "a token is needed")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_with_the_token_everything_is_answered(guarded: Running, clip: bytes) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.sound("steps=1", clip, **bearer).status == 200
    assert guarded.ask("GET", "/metrics", **bearer).status == 200


@pytest.mark.parametrize("path", ["/", "/page.js", "/health", "/openapi.json"])
def test_the_page_and_the_health_need_no_token(guarded: Running, path: str) -> None:
    assert guarded.ask("GET", path).status == 200


def test_with_a_token_the_server_may_have_any_name(guarded: Running) -> None:
    assert guarded.ask("GET", "/health", Host="box.example").status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::", "localhost.evil"])
def test_without_a_token_other_names_are_not_answered(server: Running, host: str) -> None:
    assert server.ask("GET", "/health", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:80", "127.9.9.9"])
def test_without_a_token_this_machine_s_own_names_are_answered(server: Running, host: str) -> None:
    assert server.ask("GET", "/health", Host=host).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_cannot_ask(server: Running, clip: bytes, origin: str) -> None:
    assert server.sound("steps=1", clip, Origin=origin).status == 403
    assert "access-control-allow-origin" not in server.ask("OPTIONS", "/v1/sounds", Origin=origin).headers


def test_the_own_page_can_ask(server: Running, clip: bytes) -> None:
    assert server.sound("steps=1", clip, Origin=f"http://{server.host}").status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "box.example", ""])
def test_elsewhere_it_listens_with_a_token_alone(host: str) -> None:
    with pytest.raises(SettingsError, match="give a --token"):
        ServerSettings(host)
    assert ServerSettings(host, token=TOKEN).host == host


@pytest.mark.parametrize("token", ["", "short", "with a space", "naïveté-abc"])
def test_a_token_can_be_carried_by_a_header(token: str) -> None:
    with pytest.raises(SettingsError, match="a token must be"):
        ServerSettings(token=token)
