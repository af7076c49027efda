"""The demo's plan: all arms are measured alike, and every dependency exists."""

from collections import Counter

from mmbench.tools.demo.plan import ARMS, PROBES, plan


def test_names_are_unique_and_every_dependency_is_a_cell() -> None:
    cells = plan(ARMS, None, (0, 1), 8)
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    for cell in cells:
        assert set(cell.after) <= set(names) and cell.name not in cell.after


def test_every_arm_and_random_have_the_same_protocols_seeds_and_label_subsets() -> None:
    cells = [cell for cell in plan(ARMS, None, (0, 1), 8) if cell.kind == "transfer"]
    per_arm = {
        arm: Counter((c.protocol, c.pretraining_seed, c.transfer_seed) for c in cells if c.arm == arm)
        for arm in (*ARMS, "random")
    }
    assert all(counts == per_arm["random"] for counts in per_arm.values())
    one_percent = {c.transfer_seed for c in cells if c.protocol == "semisup/patterns-1pct@2"}
    assert len(one_percent) >= 5


def test_pixels_are_measured_once_and_only_by_frozen_tasks() -> None:
    cells = [cell for cell in plan(ARMS, None, (0, 1), 8) if cell.arm == "pixels"]
    assert sorted(cell.task for cell in cells) == ["knn", "linear"]


def test_the_filtered_control_is_measured_beside_mscn_only() -> None:
    cells = [cell for cell in plan(ARMS, None, (0, 1), 8) if cell.arm == "random-high-pass"]
    assert {cell.task for cell in cells} == {"knn", "linear", "semisup", "dense"}
    assert not [cell for cell in plan(("moco",), None, (0,), 8) if cell.arm == "random-high-pass"]


def test_probes_have_at_least_two_seeds() -> None:
    cells = plan(ARMS, None, (0, 1), 8)
    for task in {probe.task for probe in PROBES if not probe.optional}:
        assert len({c.pretraining_seed for c in cells if c.task == task and c.arm == "moco"}) == 2


def test_a_smaller_demo_runs_only_the_named_tasks() -> None:
    cells = plan(("moco",), ("knn",), (3,), 1)
    assert {cell.task for cell in cells if cell.kind == "transfer"} == {"knn"}
    assert [cell.name for cell in cells if cell.kind == "pretrain"] == ["moco-seed3"]


def test_long_tasks_take_part_only_where_they_are_named() -> None:
    default = {cell.task for cell in plan(ARMS, None, (0, 1), 8)}
    assert not default & {"finetune", "logreg", "lowshot", "segmentation"} and "knn" in default
    named = [cell for cell in plan(ARMS, ("finetune",), (0, 1, 2), 8) if cell.kind == "transfer"]
    assert {cell.task for cell in named} == {"finetune"}
    assert len(named) == 3 * (len(ARMS) + 2)  # the arms, and random weights with and without the filter
