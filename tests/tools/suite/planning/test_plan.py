"""The plan of a suite: cells, names, seeds and dependencies."""

import json
from pathlib import Path

from mmbench.tools.suite.definition.suite_file import read_suite, shipped_suites, suite_of
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.plan import plan_of


def test_the_demo_is_planned_as_it_always_was() -> None:
    """The file has the plan of the demo's first scheduler: name | after | task | both seeds."""
    cells = plan_of(read_suite("demo")).cells
    names = {cell.id: cell.name for cell in cells}
    lines = []
    for cell in cells:
        task, weights_seed, seed, work = "-", 0, 0, cell.work
        if isinstance(work, PretrainWork):
            weights_seed = work.seed
            assert (work.arm, work.arch, work.epochs) == (work.method, "mixmask_resnet8", 8)
        elif isinstance(work, TransferWork):
            task, weights_seed, seed = work.task, work.weights_seed, work.seed
        assert work.data == "patterns" and len(cell.after) <= 1
        after = names[cell.after[0]] if cell.after else "-"
        lines.append(f"{cell.name} | {after} | {task} | {weights_seed} | {seed}")
    assert lines == (Path(__file__).parent / "demo_cells.txt").read_text().splitlines()


def planned(**fields: object) -> list[Cell]:
    """Return the cells of a small suite with other values of some fields."""
    values = {
        "name": "small",
        "data": ["patterns"],
        "arch": "mixmask_resnet8",
        "arms": [{"name": "moco", "pretrain": {"method": "moco", "epochs": 2}}, {"checkpoint": "random"}],
        "seeds": [3, 5],
        "tasks": ["knn"],
    }
    return list(plan_of(suite_of(json.dumps(values | fields), "small")).cells)


def transfers(cells: list[Cell]) -> list[TransferWork]:
    return [cell.work for cell in cells if isinstance(cell.work, TransferWork)]


def test_all_arms_share_label_subsets_and_pretraining_seeds_have_different_ones() -> None:
    works = transfers(planned(tasks=[{"task": "semisup", "draws": 3}]))
    for arm in ("moco", "random"):
        seeds = {(work.weights_seed, work.seed) for work in works if work.arm == arm}
        assert seeds == {(3, 0), (3, 1), (3, 2), (5, 3), (5, 4), (5, 5)}


def test_weights_that_exist_are_measured_once() -> None:
    arms = [
        {"name": "file", "checkpoint": "some/file.pth"},
        {"checkpoint": "pixels"},
        {"checkpoint": "random"},
    ]
    works = transfers(planned(arms=arms, tasks=[{"task": "knn", "draws": 2}]))
    assert [(work.arm, work.seed) for work in works if work.arm != "random"] == [
        ("file", 0),
        ("file", 1),
        ("pixels", 0),
        ("pixels", 1),
    ]
    assert len([work for work in works if work.arm == "random"]) == 4


def test_a_task_may_take_some_of_the_seeds() -> None:
    assert {work.weights_seed for work in transfers(planned(tasks=[{"task": "knn", "seeds": 1}]))} == {3}
    some = transfers(planned(tasks=[{"task": "knn", "seeds": [5]}]))
    assert {(work.weights_seed, work.seed) for work in some} == {(5, 1)}  # its place among all seeds stays


def test_draws_are_the_trials_of_the_protocol() -> None:
    arms = [{"name": "file", "checkpoint": "some/file.pth"}]
    cells = planned(data=["voc"], arms=arms, tasks=["detection"], arch=None)
    assert [work.seed for work in transfers(cells)] == [0, 1, 2, 3, 4]


def test_transfers_on_other_data_wait_for_both() -> None:
    cells = planned(data=["cifar100", "patterns"], tasks=[{"task": "knn", "data": ["patterns"]}])
    names = {cell.id: cell.name for cell in cells}
    moco = next(cell for cell in cells if cell.name == "moco-seed3 knn/patterns@2 seed0")
    assert [names[id] for id in moco.after] == ["moco-seed3", "data patterns"]
    pretraining = next(cell for cell in cells if cell.name == "moco-seed3")
    assert [names[id] for id in pretraining.after] == ["data cifar100"]


def test_tasks_go_to_the_data_that_fit() -> None:
    cells = planned(data=["patterns", "cifar100"], tasks=["knn", "detection"])
    assert {(work.task, work.data) for work in transfers(cells)} == {
        ("knn", "patterns"),
        ("knn", "cifar100"),
        ("detection", "patterns"),
    }


def test_a_suite_that_grows_keeps_its_cells() -> None:
    small = {cell.id for cell in planned()}
    more = [{"name": "moco", "pretrain": {"method": "moco", "epochs": 2}}, {"checkpoint": "random"}]
    more.append({"name": "mixmask", "pretrain": {"method": "mixmask", "epochs": 2}})
    assert small < {cell.id for cell in planned(arms=more, seeds=[3, 5, 6], tasks=["knn", "linear"])}
    other = [{"name": "moco", "pretrain": {"method": "moco", "epochs": 3}}, {"checkpoint": "random"}]
    assert not {cell.id for cell in planned(arms=other) if cell.work.kind == "pretrain"} & small


def test_names_and_ids_are_unique_and_what_is_waited_for_comes_first() -> None:
    for name in shipped_suites():
        cells = plan_of(read_suite(name)).cells
        assert len({cell.name for cell in cells}) == len({cell.id for cell in cells}) == len(cells)
        seen: set[str] = set()
        for cell in cells:
            assert set(cell.after) <= seen
            seen.add(cell.id)
