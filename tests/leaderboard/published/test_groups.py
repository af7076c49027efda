"""Published numbers: kept apart, grouped by what compares, each with a source."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.published.groups import FAMILY, SUBJECTS, published_groups, published_table
from mmbench.leaderboard.render.page import source_link
from mmbench.records.store import Result

ALL_TASKS = ("linear", "knn", "semisup", "finetune", "detection", "segmentation")


def test_every_published_number_has_a_value_and_a_source() -> None:
    table = published_table()
    assert len(table) == 1010
    assert set(table["origin"]) == {"own run", "quoted", "own run or quoted", "user report"}
    assert not table["source"].str.contains("paperswithcode").any()  # the site is closed
    assert table["value"].map(lambda text: bool(re.fullmatch(r"\d+(\.\d+)?", text))).all()
    assert (table["source"].str.len() > 0).all()
    text = table.to_csv()
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp)/|\\\\|file:", text)


def test_a_group_is_one_protocol_of_one_source() -> None:
    table = published_table()
    for group in published_groups(ALL_TASKS):
        same = table[
            (table["source"] == group.source)
            & (table["protocol"] == group.protocol)
            & (table["dataset"] == group.dataset)
        ]
        assert len(
            {(row.method, row.variant, row.pretrain_data, row.epochs, row.batch_size) for row in group.rows}
        ) == len(group.rows)
        for row in group.rows:
            assert row.method in FAMILY
            for metric, value in zip(group.metrics, row.values, strict=True):
                facts = (same["method"] == row.method) & (same["variant"] == row.variant)
                facts &= (same["pretrain_dataset"] == row.pretrain_data) & (
                    same["pretrain_epochs"] == row.epochs
                )
                found = same[facts & (same["metric"] == metric)]["value"].tolist()
                assert (value in found) if value is not None else not found


def test_protocols_that_papers_mix_up_have_names_of_their_own() -> None:
    """Heads of FPN detectors, online probes, and leaked labels."""
    table = published_table()
    fpn = table[
        (table["task"] == "detection_coco") & table["protocol"].str.startswith("Mask R-CNN R50-FPN 1x")
    ]
    heads = {source: set(rows["protocol"]) for source, rows in fpn.groupby("source")}
    assert heads["zdaxie/PixPro:README.md"] == {
        "Mask R-CNN R50-FPN 1x, box head 4conv1fc + SyncBN, mask head SyncBN"
    }
    assert all("plain heads" in name for key, names in heads.items() if "DetCo" in key for name in names)
    solo = table[table["source"].str.startswith("vturrisi/solo-learn") & (table["task"] == "linear")]
    assert solo[solo["dataset"].str.startswith("CIFAR")]["protocol"].str.startswith("online linear").all()
    voc = table[(table["dataset"] == "VOC07+12") & table["protocol"].str.contains("C4")]
    assert voc["protocol"].str.contains("11-point").all()
    leaked = table[table["note"].str.startswith("labels leaked")]
    assert set(leaked["value"]) == {"68.68", "74.53", "88.87", "92.19"}


def test_a_quoted_row_is_left_out_where_another_table_shows_its_numbers() -> None:
    groups = published_groups(ALL_TASKS)
    shown: list[tuple[str, ...]] = []
    for group in groups:
        assert group.rows and (group.omission == "") == (group.repeats == 0)
        for row in group.rows:
            facts = [
                (group.task, group.dataset, row.method, row.backbone, metric, value)
                for metric, value in zip(group.metrics, row.values, strict=True)
                if value is not None
            ]
            assert row.origin != "quoted" or not set(facts) <= set(shown)
            shown += facts


def test_known_facts_are_there() -> None:
    [mixmask] = [
        group for group in published_groups(["linear"]) if group.source.startswith("kirill-vish/MixMask")
    ]
    assert [(row.method, row.values) for row in mixmask.rows] == [
        ("MoCo v2", ("67.7",)),
        ("MixMask", ("69.2",)),
        ("MixMask", ("69.5",)),
    ]


def test_tasks_that_report_our_subjects_show_only_those_sources() -> None:
    for group in published_groups(["linear", "detection"]):
        assert {row.method for row in group.rows} & set(SUBJECTS), group
    assert published_groups(["segmentation"])
    assert not published_groups([])


def test_only_tasks_of_the_board_are_shown_and_never_as_rows(
    record: Callable[..., Result], write: Callable[..., Path]
) -> None:
    root = write(record("moco"), record("mscn"))
    board = read_board(root, "mscn")
    assert {group.task for group in board.published} == {"Linear probe"}
    assert {row.arm for row in board.rows} == {"moco", "mscn"}
    without = read_board(root, "mscn", published=False)
    assert without.published == () and without.cells == board.cells and without.rows == board.rows


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("kirill-vish/MixMask:README.md (commit 392a0e7)", "https://github.com/kirill-vish/MixMask"),
        ("open-mmlab/mmselfsup@0.x:configs/README.md", "https://github.com/open-mmlab/mmselfsup"),
        ("arXiv 2105.04906 (VICReg) Table 1", "https://arxiv.org/abs/2105.04906"),
        ("somewhere else", None),
    ],
)
def test_sources_become_links(source: str, link: str | None) -> None:
    assert source_link(source) == link
