"""Tasks and protocols by name: several in one call, files of users, files that cannot be used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

import mmbench
from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.transfer import protocol
from mmbench.transfer.protocol import broken_protocols, protocols
from mmbench.transfer.resolution import resolve_task, resolve_tasks

OWN: dict[str, Any] = {
    "id": "knn/mine@3",
    "task": "knn",
    "title": "five neighbours",
    "metric": "top1",
    "selection": "none",
    "source": "ours",
    "differs": "k is 5",
    "settings": {"neighbours": 5, "temperature": 0.1},
}


def write(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**OWN, **changes}))
    return path


def test_every_shipped_protocol_resolves_and_none_is_broken() -> None:
    assert broken_protocols() == ()
    for name, shipped in protocols().items():
        resolved = resolve_task(None, name)
        assert resolved.entry.name == shipped.task and resolved.file_sha256 is None


def test_several_tasks_take_their_own_protocols_and_settings() -> None:
    tasks = resolve_tasks(
        ["knn", "linear"], ["linear/sweep@1", "linear/moco@1"], {"knn.neighbours": 3, "epochs": 7}
    )
    assert [task.protocol.id for task in tasks] == ["knn/patterns@2", "linear/sweep@1", "linear/moco@1"]
    assert tasks[0].settings.model_dump()["neighbours"] == 3
    assert [task.settings.model_dump()["epochs"] for task in tasks[1:]] == [7, 7]


def test_protocols_alone_name_their_tasks() -> None:
    tasks = resolve_tasks([], ["semisup/1pct@1", "knn/grid@1"], {})
    assert [task.entry.name for task in tasks] == ["semisup", "knn"]


@pytest.mark.parametrize(
    ("names", "given", "overrides", "message"),
    [
        (["knn"], ["linear/moco@1"], {}, "is for task 'linear', not for 'knn'"),
        (["knn", "semisup"], ["linear/moco@1"], {}, "is for task 'linear', which --task does not name"),
        (["knn", "linear"], [], {"neighbors": 3}, "did you mean 'neighbours'"),
        (
            ["knn", "linear"],
            [],
            {"linear.neighbours": 3},
            "unknown setting of linear/patterns@2 'neighbours'",
        ),
        (["knn", "linear"], [], {"neighbours": 0}, "neighbours"),
        (["knn", "lineer"], [], {}, "did you mean 'linear'"),
        ([], ["nowhere.yaml"], {}, "nowhere.yaml cannot be read"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    names: list[str], given: list[str], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        resolve_tasks(names, given, overrides)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_users_own_protocol_is_recorded_with_its_digest(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    path = write(tmp_path / "mine.yaml")
    (result,) = mmbench.evaluate(
        backbone, "knn", gratings, protocol=path, out=tmp_path / "results", device="cpu"
    )
    assert result.protocol == "knn/mine@3" and result.config["neighbours"] == 5
    assert result.config["protocol_file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    write(path, title="other words")
    mmbench.evaluate(backbone, "knn", gratings, protocol=path, out=tmp_path / "results", device="cpu")
    assert len(list((tmp_path / "results").rglob("*.json"))) == 2  # another file, another record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "knn/patterns@2"}, "is a protocol of mmbench with other values"),
        ({"id": "mine"}, "id"),
        ({"metric": "mAP"}, "unknown metric of knn 'mAP' (known: top1)"),
        ({"task": "kn"}, "unknown task 'kn'; did you mean 'knn'"),
        ({"settings": {"neighbours": -1, "temperature": 0.1}}, "neighbours"),
        ({"settings": {"neighbours": 5}}, "temperature"),
        ({"speed": "fast"}, "speed"),
        ({"revisions": [{"change": "no version"}]}, "version"),
    ],
)
def test_a_protocol_file_that_cannot_be_used_is_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "mine.yaml", **changes)
    with pytest.raises(UserError) as error:
        resolve_task(None, str(path))
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "- a\n- b", "a: [", "a: 1\n---\nb: 2", "\x00", "!!python/name:os.system"]
)
def test_a_file_that_is_not_a_protocol(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"mine\.yaml is not a") as error:
        resolve_task(None, str(path))
    assert "\n" not in str(error.value)


def test_a_broken_file_refuses_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write(folder / "good.yaml")
    (folder / "bad.yaml").write_text("id: [")
    write(folder / "twice.yaml", id="linear/moco@1", task="linear")
    monkeypatch.setattr(protocol, "protocol_folders", lambda: (folder,))
    protocol._files.cache_clear()
    try:
        assert resolve_task("knn", "knn/mine@3").protocol.title == "five neighbours"
        assert resolve_task("linear").entry is TASKS.get("linear")
        assert len(broken_protocols()) == 2
        with pytest.raises(UserError, match=r"unknown protocol 'knn/mine@4'.*skipped: bad\.yaml is not"):
            resolve_task("knn", "knn/mine@4")
    finally:
        monkeypatch.undo()
        protocol._files.cache_clear()
