"""PretrainConfig: everything that decides a pretraining run, typed, from a recipe and a few overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mmbench.batch_norm import BatchNormSettings
from mmbench.data.file_names import printable
from mmbench.errors import UserError, shown, typed, unknown_name
from mmbench.pretrain.augment import AugmentationSettings
from mmbench.pretrain.framework import FRAMEWORKS, FrameworkSettings
from mmbench.pretrain.masking import MASKINGS, MaskingSettings
from mmbench.pretrain.optimiser import OptimiserSettings
from mmbench.pretrain.recipes import get_recipe, recipes
from mmbench.setting_values import parse_setting
from mmbench.settings_types import (
    STRICT,
    Count,
    CountOrNone,
    Epochs,
    Flag,
    ImageSize,
    NormedBatchSize,
    Seed,
    Text,
    Threads,
    Workers,
    first_problem,
    require_shorter,
)

# May differ between the sessions of one run: where it runs and how fast, not what it computes.
RUNTIME_SETTINGS = (
    "data_root",
    "device",
    "threads",
    "workers",
    "compile",
    "trackers",
    "keep_states",
    "log_every",
    "knn_every",
    "effective",  # what `Trainer.effective` says; told, not chosen
)


# What holds settings of its own, with an example of one.
SECTIONS = {
    "framework": "framework.temperature=0.1",
    "masking": "masking.grid=4",
    "optimiser": "optimiser.lr=0.001",
    "augmentation": "augmentation.flip=0.5",
    "batch_norm": "batch_norm.splits=2",
}


def _data_name(value: object) -> str:
    """Return a name of a data set or a path, which may hold bytes that are not UTF-8 (PEP 383).

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > 4096:
        raise ValueError("must be a data set or the path of a folder or list of images")
    return value


# Not pydantic's own str, which refuses such bytes; settings.yaml holds it with them escaped.
DataName = Annotated[str, PlainValidator(_data_name), PlainSerializer(printable, when_used="json")]


class PretrainConfig(BaseModel):
    """One pretraining run. `resolve_config` builds it from a method's recipe.

    Attributes:
        method: name of the method; the finished weights' arm on the leaderboard.
        recipe: versioned id of the recipe that the settings come from.
        arch: timm name of the backbone.
        data: name of the data set, or path of an image folder; its train split is used, without labels.
        image_size: side of a view in pixels; None takes the data set's own.
        framework, masking: `name` of a registered one and its own settings.
        batch_size: images per step, over all processes and all parts of an accumulated step.
        accumulation: parts of a process's share that pass one after the other, to save memory; batch norm
            sees one part at a time.
        precision: "bf16" and "fp16" (GPU only) run the encoders under autocast; weights, losses and queue
            stay float32. A CPU without bfloat16 takes "fp32" instead of "bf16".
        compile: let torch.compile speed the encoders up.
        loading: "memory" decodes pictures once, "files" as they are needed, "auto" by their size.
        workers: processes that decode files, for each process that trains.
        device: "auto" takes the GPU where there is one.
        threads: of the CPU; None leaves torch's choice. Bit-exact repetition needs the same number.
        log_every: steps between two records of metrics.jsonl.
        knn_every: epochs between two kNN measurements on the val split; 0 leaves them out.
        keep_states: how many training states are kept.
        trackers: names that Accelerate knows, such as "tensorboard" and "wandb".
    """

    model_config = STRICT

    method: Text
    recipe: Text
    arch: Text = "mixmask_resnet8"
    data: DataName = "patterns"
    data_root: Annotated[Path, PlainSerializer(printable, when_used="json")] = Path("data")
    image_size: ImageSize | None = None
    epochs: Epochs
    batch_size: NormedBatchSize
    seed: Seed = 0
    framework: dict[str, Any]
    masking: dict[str, Any]
    optimiser: OptimiserSettings
    augmentation: AugmentationSettings
    batch_norm: BatchNormSettings = BatchNormSettings()
    accumulation: Count = 1
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    channels_last: Flag = True
    compile: Flag = False
    loading: Literal["auto", "memory", "files"] = "auto"
    workers: Workers = 2
    device: Text = "auto"
    threads: Threads | None = None
    log_every: Count = 10
    knn_every: CountOrNone = 0
    keep_states: Count = 2
    trackers: Annotated[tuple[Text, ...], Field(max_length=20)] = ("tensorboard",)

    @model_validator(mode="before")
    @classmethod
    def _fill_axes(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Check the settings of both axes against their own models and write their defaults out."""
        filled = dict(values)
        for axis in ("framework", "masking"):
            given = filled.get(axis)
            chosen = dict(given) if isinstance(given, dict) else {}
            name = chosen.pop("name", None)
            if not isinstance(name, str):
                raise ValueError(f"{axis}.name is missing")
            try:
                settings = _axis_model(axis, name).model_validate(chosen)
            except ValidationError as error:
                raise first_problem(error, prefix=f"{axis}.") from None
            filled[axis] = {"name": name, **settings.model_dump(mode="json")}
        return filled

    @field_validator("trackers", mode="before")
    @classmethod
    def _one_tracker_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("optimiser")
    @classmethod
    def _warms_up_in_time(cls, value: OptimiserSettings, others: ValidationInfo) -> OptimiserSettings:
        require_shorter(value.warmup_epochs, others, "epochs", "warmup_epochs")
        return value

    @property
    def effective_lr(self) -> float:
        """The peak learning rate at this batch size."""
        return self.optimiser.effective_lr(self.batch_size)

    def in_words(self) -> str:
        """Return one line about what is going to be run."""
        given = self.optimiser
        rate = f"peak learning rate {self.effective_lr:.3g}"
        if self.effective_lr != given.lr:
            rate += f" ({given.lr:.3g} at batch {given.reference_batch}, {given.scaling} rule)"
        return (
            f"{self.method}: framework {self.framework['name']}, masking {self.masking['name']}, "
            f"{self.arch} on {printable(self.data)}, {self.epochs} epochs, batch {self.batch_size}, "
            f"{given.name}, {rate}"
        )

    @property
    def framework_settings(self) -> FrameworkSettings:
        """The framework's typed settings."""
        values = {key: value for key, value in self.framework.items() if key != "name"}
        return FRAMEWORKS.get(self.framework["name"]).Settings.model_validate(values)

    @property
    def masking_settings(self) -> MaskingSettings:
        """The masking's typed settings."""
        values = {key: value for key, value in self.masking.items() if key != "name"}
        return MASKINGS.get(self.masking["name"]).Settings.model_validate(values)


def _axis_model(axis: str, name: str) -> type[BaseModel]:
    return FRAMEWORKS.get(name).Settings if axis == "framework" else MASKINGS.get(name).Settings


def resolve_config(
    method: str,
    *,
    arch: str | None = None,
    data: str | None = None,
    data_root: Path = Path("data"),
    epochs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    overrides: Sequence[str] = (),
) -> PretrainConfig:
    """Return the configuration of a method: its recipe, then the arguments, then the overrides.

    Args:
        method: name of a recipe ("mixmask") or its id ("mixmask@1").
        overrides: settings such as "optimiser.lr=0.001"; values are YAML. "framework.name" and "masking.name"
            put another one in place, with its own settings.

    Raises:
        UserError: unknown method or setting (near match named), or a value that cannot be.
    """
    recipe = get_recipe(method)
    values: dict[str, Any] = {**recipe.settings, "method": recipe.method, "recipe": recipe.id}
    given = {"arch": arch, "data": data, "epochs": epochs, "threads": threads}
    values.update({name: value for name, value in given.items() if value is not None})
    values.update(data_root=data_root, seed=seed, device=device)
    for override in overrides:
        _apply(values, override)
    try:
        return PretrainConfig.model_validate(values)
    except ValidationError as error:
        raise first_problem(error) from None


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one "a.b=value" in place."""
    path, value = parse_setting(override, "optimiser.lr=0.001")
    if path in ("framework.name", "masking.name"):
        if not isinstance(value, str):
            raise UserError(f"--set {path}: {shown(value)} is not a name")
        _choose(values, path.partition(".")[0], value)
        return
    if path in SECTIONS:
        raise UserError(f"--set {path}: set its settings one by one, such as --set {SECTIONS[path]}")
    *parents, last = path.split(".")
    known: Mapping[str, Any] = PretrainConfig.model_fields
    place: dict[str, Any] = values
    for position, name in enumerate([*parents, last]):
        if name not in known or (not parents and name in ("method", "recipe")):
            options = set(known) - {"method", "recipe"}
            prefix = ".".join(path.split(".")[:position])
            raise unknown_name(f"setting{f' of {prefix}' if prefix else ''}", name, options)
        if position == len(parents):
            place[name] = value
            return
        known = _fields_of(values, name, path)
        place[name] = dict(place.get(name) or {})
        place = place[name]


def _choose(values: dict[str, Any], axis: str, name: str) -> None:
    """Put another framework or masking in place, with the settings of the recipe that is named after it.

    The method, which is the arm's name, becomes the pair's.

    Raises:
        UserError: there is no such framework or masking (near match named).
    """
    if values[axis]["name"] == name:
        return
    _axis_model(axis, name)
    named_after = [r for r in recipes().values() if r.id.partition("@")[0] == name.replace("+", "-")]
    example = next((r for r in named_after if r.settings[axis]["name"] == name), None)
    values[axis] = dict(example.settings[axis]) if example else {"name": name}
    framework, masking = values["framework"]["name"], values["masking"]["name"]
    parts = [
        framework if framework != "moco" or masking == "none" else "",
        masking if masking != "none" else "",
    ]
    values["method"] = "+".join(part for part in parts if part)


def _fields_of(values: dict[str, Any], section: str, path: str) -> Mapping[str, Any]:
    """Return the settings inside a section of the configuration."""
    if section in ("framework", "masking"):
        name = values[section]["name"]
        return {"name": None, **_axis_model(section, name).model_fields}
    models: dict[str, type[BaseModel]] = {
        "optimiser": OptimiserSettings,
        "augmentation": AugmentationSettings,
        "batch_norm": BatchNormSettings,
    }
    if section not in models:
        raise UserError(f"--set {typed(path)}: '{section}' holds no settings of its own")
    return models[section].model_fields
