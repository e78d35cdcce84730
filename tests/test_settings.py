"""What the surroundings decide, and what a Space does otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

import app
from backend_jobs.queue import StoreQueue
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import SubmissionRejected
from settings import ROOT, read_settings


def test_defaults_lie_in_the_checkout_and_listen_on_loopback() -> None:
    settings = read_settings({})
    assert (settings.data_dir, settings.store) == (ROOT / "data", str(ROOT / "data" / "store.db"))
    assert (settings.host, settings.space) == ("127.0.0.1", None)


def test_a_relative_data_folder_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_settings({"OPEN_R1_DATA": "mine"})
    assert settings.data_dir == tmp_path / "mine"
    assert settings.store == str(tmp_path / "mine" / "store.db")


def test_no_token_is_among_what_a_child_inherits() -> None:
    environ = {"HF_TOKEN": "a", "ENDPOINT_API_KEY": "b", "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0"}
    settings = read_settings(environ)
    assert (settings.hub_token, settings.endpoint_api_key) == ("a", "b")
    assert dict(settings.child_environment) == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1"])
def test_a_port_that_is_none_ends_with_one_line(port: str) -> None:
    with pytest.raises(SystemExit, match="expected a number from 1 to 65535"):
        read_settings({"PORT": port})


def test_a_space_takes_no_folder_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    queue = StoreQueue(SqliteStore(tmp_path / "store.db"))
    settings = read_settings({"SPACE_ID": "owner/space"})
    for model in (str(tmp_path / "owner" / "name"), "./owner/name", "local/name"):
        with pytest.raises(SubmissionRejected):
            app.take_submission({"model": model, "benchmarks": ["arithmetic"]}, settings, queue, local_mode=False)
    assert queue.jobs() == []
    assert settings.host == "0.0.0.0"


def test_people_sign_in_where_a_space_has_a_client_for_it_and_nowhere_else() -> None:
    client = {"OAUTH_CLIENT_ID": "id", "OAUTH_CLIENT_SECRET": "s3cret", "OPENID_PROVIDER_URL": "https://hub.example"}
    settings = read_settings({"SPACE_ID": "owner/space", **client})
    assert dict(settings.oauth_client or ()) == {
        "client_id": "id",
        "client_secret": "s3cret",
        "provider_url": "https://hub.example",
    }
    assert "s3cret" not in repr(settings)
    assert read_settings(client).oauth_client is None
    assert read_settings({"SPACE_ID": "owner/space", "OAUTH_CLIENT_ID": "id"}).oauth_client is None
