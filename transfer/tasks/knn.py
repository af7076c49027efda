"""Task `knn`: weighted nearest neighbours on frozen features; nothing is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.neighbours import knn_grid, knn_scores
from mmbench.settings_types import Count, Counts, Within, different
from mmbench.tasks import ON_FEATURES, BoardColumn, TaskSettings, task
from mmbench.transfer.inputs.features import is_pixels
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, percent_correct, require_finite
from mmbench.transfer.tasks.edges import best_of, edge_note, edge_of

WARM = 0.1  # a temperature at which votes cannot overflow; Wu et al. 2018 take 0.07
# Below this, exp(1 / T) times a few thousand votes is more than a float32 holds.
SMALLEST_TEMPERATURE = 0.0125
VotingTemperature = Annotated[float, Within(SMALLEST_TEMPERATURE, 100)]


class KnnSettings(TaskSettings):
    """Settings of the kNN classifier.

    Attributes:
        neighbours: how many vote (k).
        temperature: a vote weighs exp(cosine / temperature).
        chunk: queries that are compared with the bank at a time, to bound the memory.
    """

    neighbours: Count
    temperature: VotingTemperature
    chunk: Count = 512

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of a grid where several k or temperatures are given."""
        lists = any(isinstance(values.get(name), list | tuple) for name in ("neighbours", "temperatures"))
        return KnnGridSettings if lists else cls


class KnnGridSettings(TaskSettings):
    """Settings of several kNN classifiers, from one pass over the bank.

    Attributes:
        neighbours: values of k, from which val chooses.
        temperatures: values of T, from which val chooses.
        chunk: queries that are compared with the bank at a time, to bound the memory.
    """

    neighbours: Counts
    temperatures: Annotated[
        tuple[VotingTemperature, ...], Field(min_length=1, max_length=100), AfterValidator(different)
    ]
    chunk: Count = 512


@task(
    "knn",
    KnnSettings,
    "knn/patterns@2",
    column=BoardColumn("kNN", order=10),
    metrics=("top1",),
    uses=ON_FEATURES,
    frozen=True,
)
def knn(job: TransferJob, settings: KnnSettings | KnnGridSettings) -> Measurement:
    """Classify the evaluated split by its neighbours in train. Of raw pixels, the mean image is removed."""
    if isinstance(settings, KnnGridSettings):
        return _chosen_on_val(job, settings)
    return _voted(job, settings)


def _features(job: TransferJob, *splits: Split) -> list[Tensor]:
    """Return the features of splits; of pixels, less the mean image of the first."""
    found = [job.features(split) for split in splits]
    if is_pixels(job.backbone):
        mean = found[0].float().mean(dim=0)
        found = [features - mean for features in found]
    return found


def _voted(job: TransferJob, settings: KnnSettings) -> Measurement:
    """Measure one pair of k and T on the evaluated split."""
    bank, queries = _features(job, "train", job.evaluated)
    train, test = job.dataset.labels("train"), job.dataset.labels(job.evaluated)

    def measure() -> Measurement:
        scores = knn_scores(
            queries.to(job.device),
            bank,
            train,
            len(job.dataset.classes),
            neighbours=settings.neighbours,
            temperature=settings.temperature,
            chunk=settings.chunk,
        ).cpu()
        require_finite(scores, f"votes overflow; give a larger temperature by --set temperature={WARM}")
        return Measurement(
            metrics=classification_metrics(scores, test),
            split_sizes={"train": len(train), job.evaluated: len(test)},
            images_seen=len(train) + len(test),
            confusion=confusion(scores, test),
            from_bank=True,
        )

    return on_main(measure)


def _chosen_on_val(job: TransferJob, settings: KnnGridSettings) -> Measurement:
    """Choose k and T by top-1 on val, measure every pair on the evaluated split, report the chosen one."""
    bank, val, queries = _features(job, "train", "val", job.evaluated)
    labels: dict[str, Tensor] = {
        split: job.dataset.labels(split) for split in dict.fromkeys(("train", "val", job.evaluated))
    }

    def pairs(asked: Tensor) -> Iterator[tuple[int, float, Tensor]]:
        found = knn_grid(
            asked.to(job.device),
            bank,
            labels["train"],
            len(job.dataset.classes),
            neighbours=settings.neighbours,
            temperatures=settings.temperatures,
            chunk=settings.chunk,
        )
        for k, t, votes in found:
            scores = votes.cpu()
            require_finite(scores, f"votes overflow; give larger temperatures by --set temperatures=[{WARM}]")
            yield k, t, scores

    def measure() -> Measurement:
        on_val = {(k, t): percent_correct(votes.argmax(dim=1), labels["val"]) for k, t, votes in pairs(val)}
        chosen = max(on_val, key=on_val.__getitem__)  # of equal ones the first
        metrics, counts = {}, None
        for k, t, votes in pairs(queries):
            found = classification_metrics(votes, labels[job.evaluated])
            metrics[f"top1_k{k}_t{t:g}"] = found["top1"]
            if (k, t) == chosen:
                metrics |= found
                counts = confusion(votes, labels[job.evaluated])
        sizes = {split: len(found) for split, found in labels.items()}
        return Measurement(
            metrics=metrics,
            split_sizes=sizes,
            images_seen=sum(sizes.values()),
            notes=(
                f"k {chosen[0]} and T {chosen[1]:g} chosen on val among {len(on_val)} pairs",
                *_edges(settings, on_val, chosen, len(labels["train"])),
            ),
            confusion=counts,
            from_bank=True,
        )

    return on_main(measure)


def _edges(
    settings: KnnGridSettings,
    on_val: Mapping[tuple[int, float], float],
    chosen: tuple[int, float],
    images: int,
) -> tuple[str, ...]:
    """Return a note for k and for T, if the chosen one is at an edge; k reaches from 1 to all images."""
    by_k, by_t = (best_of([pair[axis] for pair in on_val], list(on_val.values())) for axis in (0, 1))
    k = edge_of(by_k, chosen[0], settings.neighbours, least=1, most=images)
    t = edge_of(by_t, chosen[1], settings.temperatures, least=SMALLEST_TEMPERATURE)
    return (
        *edge_note("k", "neighbours", k, settings.neighbours),
        *edge_note("T", "temperatures", t, settings.temperatures),
    )
