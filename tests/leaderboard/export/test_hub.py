"""Model cards that huggingface_hub reads back, and what the command says beside them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from mmbench.errors import UserError
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.export.hub import write_model_card
from mmbench.records.store import Result

Make = Callable[..., Result]
Write = Callable[..., Path]


def test_a_model_card_holds_the_cells_of_its_row(record: Make, write: Write, tmp_path: Path) -> None:
    root = write(
        record("moco", seed=0, value=70.0),
        record("moco", seed=1, value=72.0),
        record("moco", "segmentation/patterns@1", value=33.0),
        record("mscn", value=60.0),
    )
    board = read_board(root, published=False)
    card = ModelCard.load(write_model_card(board, "moco", tmp_path / "card"))
    name, results = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "moco" and card.data.library_name == "timm"
    found = {(result.task_type, result.metric_type, result.dataset_config): result for result in results}
    top1 = found["image-classification", "accuracy", "linear/patterns@1"]
    assert top1.metric_value == 71.0 and top1.dataset_revision == "ab" * 32
    assert top1.metric_args["runs"] == 2 and top1.metric_args["pretrainings"] == 2
    assert found["image-segmentation", "mean_iou", "segmentation/patterns@1"].metric_value == 33.0
    assert len(results) == 2 and "71.00 ± 1.41 | n=2" in card.text
    with pytest.raises(UserError, match="did you mean 'moco'"):
        write_model_card(board, "mocco", tmp_path / "other")
    with pytest.raises(UserError, match="never replaced"):
        write_model_card(board, "mscn", tmp_path / "card")


@pytest.mark.parametrize("name", ["a: b", "- x", "# x | y", "[a](b)", "é \U0001f600 \u4e2d", "{x: 1}", "---"])
def test_any_name_survives_the_front_matter(record: Make, write: Write, tmp_path: Path, name: str) -> None:
    board = read_board(write(record("moco", card_changes={"arm": name})), published=False)
    card = ModelCard.load(write_model_card(board, name, tmp_path / "card"))
    assert card.data.model_name == name


def test_what_was_left_out_is_printed_and_stands_in_the_card(
    record: Make, write: Write, tmp_path: Path
) -> None:
    root = write(record("moco", value=70.0), record("mscn", value=60.0))
    next(root.rglob("mscn*.json")).write_text("{")
    out = tmp_path / "card"
    words = ["export", "hub", str(root), "--row", "moco", "--out", str(out), "--skip-invalid"]
    done = CliRunner().invoke(leaderboard, words)
    assert done.exit_code == 0 and done.stdout == f"{out / 'README.md'}\n"
    assert done.stderr.startswith("note: 1 file left out: ") and "mscn-" in done.stderr
    card = ModelCard.load(out / "README.md")
    assert "- 1 file left out: " in card.text.split("Notes:")[1] and "not JSON" in card.text
    whole = write_model_card(read_board(root, published=False, skip_invalid=True), "moco", tmp_path / "plain")
    assert "Notes:" not in whole.read_text()
