"""A choice at the edge of what was tried is said; a tie with the inside is said as one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.probes.selection import Axis, Choice, Edge, Search, edge_of
from mmbench.transfer.tasks.linear.settings import SvmProbe
from mmbench.transfer.tasks.linear.svm import _notes, fit_classes


@given(st.lists(st.integers(0, 4), min_size=3, max_size=8), st.data())
def test_an_edge_is_the_first_or_the_last_value(scores: list[int], data: st.DataObject) -> None:
    tried = list(range(10, 10 + len(scores)))
    order = data.draw(st.permutations(tried))
    on_val = {value: scores[value - 10] for value in order}
    chosen = max(on_val, key=on_val.__getitem__)
    edge = edge_of(on_val, chosen, order)
    if chosen in (tried[0], tried[-1]):
        inside = tuple(value for value in tried[1:-1] if on_val[value] == max(scores))
        assert edge == Edge("smallest" if chosen == tried[0] else "largest", chosen, inside)
    else:
        assert edge is None


def test_two_values_have_no_inside_and_bounds_have_nothing_beyond() -> None:
    assert edge_of({1: 0.5, 2: 0.6}, 2, [1, 2]) is None
    assert edge_of({1: 0.5, 2: 0.6}, 2, [1, 2, 2]) is None
    decays = {0.0: 0.9, 0.1: 0.5, 0.2: 0.4}
    assert edge_of(decays, 0.0, list(decays), least=0) is None
    assert edge_of(decays, 0.0, list(decays)) is not None
    assert edge_of({1: 0.1, 2: 0.2, 9: 0.3}, 9, [1, 2, 9], most=9) is None


def test_a_search_that_stopped_early_counts_all_values() -> None:
    """What was not measured is not known to be worse, but the chosen one has values on both sides."""
    assert edge_of({3.0: 0.5, 2.0: 0.6, 1.0: 0.4}, 2.0, [3.0, 2.0, 1.0, 0.5]) is None
    edge = edge_of({3.0: 0.6, 2.0: 0.5}, 3.0, [3.0, 2.0, 1.0, 0.5])
    assert edge == Edge("largest", 3.0, ())


def test_the_best_of_an_axis_is_over_everything_else() -> None:
    """The second axis has its best inside, and the first at the smallest value."""
    pairs = [(x, y) for x in (1, 2, 3) for y in (1, 2, 3)]
    choice = Choice(pairs, [0.1, 0.4, 0.3, 0.2, 0.3, 0.2, 0.1, 0.2, 0.4])
    first: Axis[tuple[int, int]] = Axis("a", "as", (1, 2, 3), lambda pair: pair[0])
    second: Axis[tuple[int, int]] = Axis("b", "bs", (1, 2, 3), lambda pair: pair[1])
    assert choice.chosen == (1, 2) and choice.index == 1  # of equal ones the first
    (note,) = choice.edge_notes(first, second)
    assert note.startswith("a 1 is the smallest of the 3 tried: the best may lie beyond")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 4))
def test_a_search_ends_after_values_that_are_no_better(scores: list[int], patience: int) -> None:
    fitted: list[tuple[float, float | None]] = []

    def fit(value: float, start: float | None) -> float:
        fitted.append((value, start))
        return value

    values = [float(index) for index in range(len(scores))]
    found: Search[float] = Search(values, patience)
    while not found.over:
        value = found.value
        found.add(fit(value, found.last), scores[int(value)])
    choice, model = found.choice, found.best
    end = len(choice.scores)
    assert choice.chosen == model == scores.index(max(scores[:end]))
    assert fitted == [(value, value - 1 if value else None) for value in values[:end]]
    best = [scores.index(max(scores[: done + 1])) for done in range(len(scores))]
    ends = [done + 1 for done in range(len(scores)) if done - best[done] == patience]
    assert end == (ends[0] if ends else len(scores))


def test_the_note_names_the_edge_the_value_and_the_setting() -> None:
    axis: Axis[float] = Axis("k", "neighbours", [5, 10, 20, 200], float)
    (note,) = axis.notes(Edge("largest", 200, ()))
    assert "k 200 is the largest of the 4 tried" in note and "--set neighbours=" in note
    (note,) = axis.notes(Edge("smallest", 5, (10, 20)))
    assert "10, 20 inside the range did as well on val" in note and "beyond" not in note
    assert axis.notes(None) == ()


def run(
    task: str, protocol: str, backbone: Backbone, data: Dataset, folder: Path, **overrides: Any
) -> Result:
    if protocol.startswith("linear/sweep"):
        overrides = {"epochs": 2, "batch_size": 40, "weight_decays": [0.0], **overrides}
    if task == "logreg":
        overrides = {"candidates": 4, **overrides}
    store = ResultStore(folder)
    return run_task(
        task, backbone, data, store, work=folder / "work", protocol_id=protocol, overrides=overrides
    )


def val_scores(result: Result) -> str:
    return " ".join(note for note in result.notes if "tried" in note)


def test_a_learning_rate_at_the_edge_is_said(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    """Rates so small that the largest learns the most."""
    rates = {"learning_rates": [1e-9, 1e-6, 0.01], "batch_norm": [True], "epochs": 10}
    low = run("linear", "linear/sweep@1", backbone, gratings, tmp_path / "low", **rates)
    assert "learning rate 0.01 is the largest of the 3 tried: the best may lie beyond" in val_scores(low)
    two = run("linear", "linear/sweep@1", backbone, gratings, tmp_path / "two", learning_rates=[1e-9, 0.01])
    assert val_scores(two) == ""


def test_a_strength_and_a_decay_at_the_edge_are_said(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    """Strengths so strong that the weakest is best."""
    found = run("logreg", "logreg/lbfgs@1", backbone, gratings, tmp_path / "l", weakest=0.01, strongest=1e4)
    assert "L2 strength 0.01 is the smallest of the 4 tried" in val_scores(found)
    cached = {"weight_decays": [1e4, 1e3, 1e2, 0.1], "patience": 9}
    found = run("linear", "linear/patterns@1", backbone, gratings, tmp_path / "c", **cached)
    assert "weight decay 0.1 is the smallest of the 4 tried" in val_scores(found)


def test_k_at_the_edge_is_said_and_agrees_with_the_metrics(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    grid = {"neighbours": [90, 100, 110], "temperatures": [10.0]}  # nearly a plain count over all of train
    found = run("knn", "knn/grid@1", backbone, gratings, tmp_path, **grid)
    chosen = int(found.notes[0].split()[1])
    edge = {90: "smallest", 110: "largest"}.get(chosen)
    assert (f"k {chosen} is the {edge} of the 3 tried" in val_scores(found)) == (edge is not None)


def test_costs_at_the_edge_are_counted() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((60, 8), generator=generator).double()
    truth = (features[:, :2] + 0.3 * torch.randn((60, 2), generator=generator) > 0).double()
    unit = (features / features.norm(dim=1, keepdim=True)).numpy()
    settings = SvmProbe(features="svm", costs=(1e-7, 1e-6, 1e-5))
    machines = list(fit_classes(np.asarray(unit), truth.numpy(), settings, seed=0))
    at_edge = dict.fromkeys(("smallest", "largest"), 0)
    for machine in machines:
        if machine.edge is not None and not machine.edge.tied:
            at_edge[machine.edge.side] += 1
    words = " ".join(_notes(machines, settings, "train"))
    for side, count in at_edge.items():
        assert (f"the {side} of the 3 tried, was best for {count} of 2 classes" in words) == (count > 0)


@pytest.mark.parametrize("edge", [None, Edge("largest", 3.0, ()), Edge("largest", 3.0, (2.0,))])
def test_classes_whose_best_cost_is_tied_are_not_counted(edge: Edge | None) -> None:
    from mmbench.transfer.tasks.linear.svm import ClassFit

    settings = SvmProbe(features="svm", costs=(1.0, 2.0, 3.0))
    machines = [ClassFit(np.zeros(2), 0.0, 3.0, True, edge)] * 4
    said = [note for note in _notes(machines, settings, "train") if "edge" in note]
    assert bool(said) == (edge is not None and not edge.tied)
