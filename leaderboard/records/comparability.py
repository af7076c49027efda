"""The one table of comparability: for every field of a record, what a difference in it does to a board.

The checks of this package act from it, and the documentation shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mmbench.leaderboard.records.effects import MEANINGS, METRIC, Effect, Field

# The order of the fields that split rows is the order in which they name rows.
TABLE = (
    Field("schema_version", Effect.REFUSED, "other versions of the schema are not read"),
    Field("task", Effect.COLUMNS, "other tasks measure other things"),
    Field("dataset.name", Effect.COLUMNS, "other data"),
    Field("protocol", Effect.COLUMNS, "another way to measure", part="name"),
    Field(
        "protocol",
        Effect.REFUSED,
        "a new version exists because numbers changed",
        "version",
        "versions",
        part="version",
        group=("recipe",),
    ),
    Field(
        "dataset.fingerprint", Effect.REFUSED, "other images or labels", "fingerprint", "data fingerprints"
    ),
    Field("dataset.evaluated_split", Effect.REFUSED, "other images", "split", "evaluated splits"),
    Field("dataset.split_sizes.*", Effect.REFUSED, "other amounts of data", "split_sizes", "split sizes"),
    Field("config", Effect.REFUSED, "measured in another way", "config_digest", "settings"),
    Field("primary_metric", Effect.REFUSED, "a column ranks by one metric", "metric", "primary metrics"),
    Field("metrics.*.value", Effect.VALUE, "the measurement"),
    Field("metrics.*.interval", Effect.VALUE, "shown for a single run"),
    Field(
        "metrics.*.higher_is_better",
        Effect.REFUSED,
        "ranks would turn round",
        "higher_is_better",
        "directions",
        group=METRIC,
    ),
    Field("metrics.*.unit", Effect.REFUSED, "numbers of two units", "unit", "units", group=METRIC),
    Field(
        "metrics.*.n",
        Effect.REFUSED,
        "computed on other images",
        "images",
        "numbers of evaluated images",
        group=METRIC,
    ),
    Field("model.arm", Effect.ROWS, "the name under which runs are averaged", "arm"),
    Field(
        "model.source_format",
        Effect.ROWS,
        "a control is never averaged with trained weights",
        "control",
        part="control or trained weights",
        kind="network",
        shown="{}",
    ),
    Field(
        "model.source_format",
        Effect.SAME,
        "weights are the same from whatever file; their digest identifies them",
        part="format of trained weights",
    ),
    Field("model.arch", Effect.ROWS, "another network", "arch", "architectures", kind="network"),
    Field(
        "model.arch_options.*",
        Effect.ROWS,
        "another network",
        "arch_options",
        "architecture options",
        kind="network",
        absent="no options",
        between=True,
    ),
    Field("model.framework", Effect.ROWS, "another pretraining", "framework", "frameworks"),
    Field("model.method", Effect.ROWS, "another pretraining", "method", "methods", shown="method {}"),
    Field("model.masking", Effect.ROWS, "another pretraining", "masking", "maskings", shown="masking {}"),
    Field(
        "model.pretrain_data",
        Effect.ROWS,
        "another pretraining",
        "pretrain_data",
        "pretraining data sets",
        shown="on {}",
        between=True,
    ),
    Field(
        "model.epochs",
        Effect.ROWS,
        "another budget",
        "pretrain_epochs",
        "numbers of pretraining epochs",
        shown="{} epochs",
    ),
    Field(
        "model.preprocessing.image_size",
        Effect.ROWS,
        "the network sees other images",
        "image_size",
        "image sizes",
        kind="preprocessing",
        shown="{} px",
        between=True,
    ),
    Field(
        "model.preprocessing.high_pass.kernel_size",
        Effect.ROWS,
        "the network sees other images",
        "high_pass_kernel",
        "high-pass kernels",
        kind="preprocessing",
        shown="high-pass kernel {}",
        absent="no high-pass",
    ),
    Field(
        "model.preprocessing.high_pass.sigma",
        Effect.ROWS,
        "the network sees other images",
        "high_pass_sigma",
        "high-pass sigmas",
        kind="preprocessing",
        shown="high-pass sigma {:g}",
        absent="no high-pass",
    ),
    Field(
        "model.preprocessing.crop_pct",
        Effect.ROWS,
        "the network sees other images; a share that describes the pretraining's own images does not count",
        "crop_pct",
        "crop shares",
        kind="preprocessing",
        shown="crop {:g}",
        absent="no stated crop",
        between=True,
    ),
    Field(
        "model.preprocessing.mean",
        Effect.ROWS,
        "the network sees other numbers",
        "mean",
        "means of channels",
        kind="preprocessing",
        shown="mean {}",
        between=True,
    ),
    Field(
        "model.preprocessing.std",
        Effect.ROWS,
        "the network sees other numbers",
        "std",
        "deviations of channels",
        kind="preprocessing",
        shown="std {}",
        between=True,
    ),
    Field(
        "model.precision",
        Effect.ROWS,
        "another pretraining",
        "pretrain_precision",
        "precisions of the pretraining",
        between=True,
    ),
    Field(
        "model.recipe", Effect.ROWS, "another pretraining", "pretrain_recipe", "recipes", shown="recipe {}"
    ),
    Field(
        "model.recipe_digest",
        Effect.ROWS,
        "other settings of the pretraining",
        "pretrain_recipe_digest",
        "digests of the recipe",
        shown="settings {:.8}",
    ),
    Field(
        "model.pretrain_fingerprint",
        Effect.ROWS,
        "other pretraining images",
        "pretrain_fingerprint",
        "fingerprints of the pretraining data",
        shown="data {:.8}",
        between=True,
    ),
    Field(
        "model.origins.*",
        Effect.ROWS,
        'older cards name their recipe there, as "method: recipe mixmask@1"',
        part="recipe",
    ),
    Field("model.origins.*", Effect.SAME, "it says where facts come from", part="everything else"),
    Field("model.seed", Effect.SAME, "another pretraining of the row"),
    Field("model.source_sha256", Effect.SAME, "identifies the weights of records without weights_sha256"),
    Field(
        "weights_sha256",
        Effect.SAME,
        "identifies the weights: runs that share it are one pretraining, whatever their cards say",
    ),
    Field("seed", Effect.SAME, "another run of the same weights"),
    Field("created", Effect.SAME, "the newest record is kept first where two cannot share a board"),
    Field("model.pretrain_seconds", Effect.VALUE, "cost"),
    Field("model.pretrain_compute.seconds", Effect.VALUE, "cost"),
    Field(
        "model.pretrain_compute.kind",
        Effect.WARNED,
        "processor and GPU seconds do not compare",
        "pretrain_compute_kind",
        "kinds of pretraining time",
    ),
    Field(
        "model.pretrain_processes",
        Effect.SAME,
        "what several processes change in the numbers is part of the digest of the recipe",
    ),
    Field("wall_seconds", Effect.VALUE, "cost"),
    Field("compute.seconds", Effect.VALUE, "cost"),
    Field(
        "compute.kind",
        Effect.WARNED,
        "processor and GPU seconds do not compare",
        "compute_kind",
        "kinds of computing time",
    ),
    Field("images_per_second", Effect.VALUE, "cost"),
    Field("per_class.*", Effect.VALUE, "shown beside the record"),
    Field(
        "effective_lr",
        Effect.WARNED,
        "another learning rate came out of the same settings; one that is chosen from a list of them is none",
        "scaled_lr",
        "learning rates in force",
    ),
    Field(
        "labels.sha256",
        Effect.WARNED,
        "rows that saw other labels differ by them too; the runs of one row may",
        "labels",
        "sets of labels",
    ),
    Field("labels.used", Effect.REFUSED, "it is the size of the train split", words="split sizes"),
    Field(
        "labels.available", Effect.REFUSED, "other data", "labels_available", "numbers of available labels"
    ),
    Field("labels.source", Effect.SAME, "it describes the labels; their digest decides"),
    Field("framing", Effect.WARNED, "images were cut or scaled in another way", "framing", "framings"),
    Field("receipt_id", Effect.SAME, "a conversion changes no tensor, which its receipt proves"),
    Field("outcomes.sha256", Effect.SAME, "other predictions are what another run gives"),
    Field("outcomes.images", Effect.SAME, "the metric's own number of images decides"),
    Field(
        "notes",
        Effect.WARNED,
        "computed in float32 where the protocol asks for bfloat16",
        "fallback",
        "number formats",
        part="fallback to float32",
    ),
    Field("notes", Effect.SAME, "shown under the column", part="everything else"),
    Field("provenance.mmbench", Effect.WARNED, "other code", "mmbench", "versions of mmbench"),
    Field("provenance.packages.*", Effect.WARNED, "other code", "packages", "package versions"),
    Field("provenance.device", Effect.WARNED, "other arithmetic", "device", "devices"),
    Field("provenance.git_sha", Effect.SAME, 'shown under "Measured with"'),
    Field("provenance.git_dirty", Effect.SAME, "the board counts records of uncommitted changes"),
    Field("provenance.python", Effect.SAME, 'shown under "Measured with"'),
    Field("provenance.platform", Effect.SAME, 'shown under "Measured with"'),
    Field("provenance.processor", Effect.SAME, 'shown under "Measured with"; it changes seconds'),
    Field("provenance.cpu_count", Effect.SAME, 'shown under "Measured with"; it changes seconds'),
    Field("provenance.threads", Effect.SAME, 'shown under "Measured with"; it changes seconds'),
)


def fields_with(effect: Effect) -> Iterator[Field]:
    """Yield the fields of an effect that the checks compare, in the order of the table."""
    return (field for field in TABLE if field.effect is effect and field.fact is not None)


def markdown_table() -> str:
    """Return the table for the documentation."""
    lines = [f"- **{effect}**: {meaning}." for effect, meaning in MEANINGS.items()]
    lines += ["", "| field of a record | effect | why |", "|---|---|---|"]
    for field in TABLE:
        part = f" ({field.part})" if field.part else ""
        lines.append(f"| `{field.path}`{part} | {field.effect} | {field.why} |")
    return "\n".join(lines)
