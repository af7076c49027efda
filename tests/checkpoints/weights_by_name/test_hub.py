"""Pushing to the model hub: its own client, without a network."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmbench.checkpoints.weights_by_name import hub
from mmbench.errors import UserError


def test_the_whole_folder_goes_to_the_named_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []

    class Api:
        def create_repo(self, name: str, **options: Any) -> None:
            calls.append((name, options))

        def upload_folder(self, **options: Any) -> SimpleNamespace:
            calls.append((options["repo_id"], options["folder_path"]))
            return SimpleNamespace(repo_url="the address")

    monkeypatch.setattr(hub, "HfApi", Api)
    assert hub.push(tmp_path, "me/mixmask", private=True) == "the address"
    assert calls == [("me/mixmask", {"private": True, "exist_ok": True}), ("me/mixmask", tmp_path)]


def test_without_a_network_the_folder_stays_and_the_way_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(UserError, match="is complete, but was not pushed to me/mixmask") as error:
        hub.push(tmp_path, "me/mixmask")
    assert "hf upload me/mixmask" in str(error.value) and "\n" not in str(error.value)
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["a b", "x/y/z", "", "-a/b"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="is not a repository name"):
        hub.check_name(name)
