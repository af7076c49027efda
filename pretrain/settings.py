"""PretrainConfig: everything that decides a pretraining run, typed and checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mmbench.batch_norm import BatchNormSettings
from mmbench.errors import shown, typed
from mmbench.file_names import counted, printable
from mmbench.home import at_home, home_path
from mmbench.pretrain.framework import FRAMEWORKS, FrameworkSettings
from mmbench.pretrain.masking import MASKINGS, MaskingSettings
from mmbench.pretrain.section_settings import AugmentationSettings, OptimiserSettings
from mmbench.settings.problems import first_problem
from mmbench.settings.types import (
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
    require_shorter,
)

# May differ between the sessions of one run: where and how fast it runs, not what it computes.
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
    "effective",  # what `Trainer.effective` returns; a result, not a choice
)


USUAL = {"framework": "moco", "masking": "none"}  # names that messages give as an example

# Settings that runs of earlier versions do not state, with what they did.
LATER_SETTINGS = {"decode": "cpu", "augmentation.crop_fit": "cut"}


def as_earlier(settings: dict[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without those that runs of earlier versions do not state, where they are what such did.

    Args:
        stated: settings of a run; what it states is kept.
    """
    result = {name: dict(value) if isinstance(value, dict) else value for name, value in settings.items()}
    for path, before in LATER_SETTINGS.items():
        section, _, name = path.rpartition(".")
        ours, theirs = (result[section], stated.get(section, {})) if section else (result, stated)
        if ours[name] == before and name not in theirs:
            del ours[name]
    return result


# Sections, which hold settings of their own, with an example of one.
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
    return at_home(value)


# Not pydantic's own str, which refuses such bytes; settings.yaml holds it with them escaped.
DataName = Annotated[str, PlainValidator(_data_name), PlainSerializer(printable, when_used="json")]


PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32"}  # other spellings
Precision = Annotated[
    Literal["bf16", "fp16", "fp32"],
    BeforeValidator(lambda value: PRECISIONS.get(value, value) if isinstance(value, str) else value),
]


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
        loading: "memory" decodes images once, "files" as they are needed, "auto" by their size.
        decode: what decodes the JPEGs of files: "cpu", in the workers, or "gpu", a batch at a time, which
            rounds otherwise.
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
    data_root: Annotated[Path, AfterValidator(home_path), PlainSerializer(printable, when_used="json")] = (
        Path("data")
    )
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
    precision: Precision = "bf16"
    channels_last: Flag = True
    compile: Flag = False
    loading: Literal["auto", "memory", "files"] = "auto"
    decode: Literal["cpu", "gpu"] = "cpu"
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
            if given is not None and not isinstance(given, dict):
                name = given if isinstance(given, str) else USUAL[axis]
                raise ValueError(
                    f"{axis} = {shown(given)} is not a section of settings{read_as(given)}; "
                    f'write {axis}: {{name: "{typed(name)}"}}'
                )
            chosen = dict(given) if isinstance(given, dict) else {}
            name = chosen.pop("name", None)
            if not isinstance(name, str):
                raise ValueError(f"{axis}.name is missing")
            try:
                settings = axis_model(axis, name).model_validate(chosen)
            except ValidationError as error:
                raise first_problem(error, chosen, prefix=f"{axis}.") from None
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
            f"{self.arch} on {printable(self.data)}, {counted(self.epochs, 'epoch')}, "
            f"batch {self.batch_size}, {given.name}, {rate}"
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


def read_as(value: object) -> str:
    """Return the words that explain a word of YAML that became true or false; nothing for other values."""
    return " (YAML reads no and off as false, yes and on as true)" if isinstance(value, bool) else ""


def axis_model(axis: str, name: str) -> type[BaseModel]:
    """Return the settings model of a framework or a masking.

    Raises:
        UserError: unknown name (near match named).
    """
    return FRAMEWORKS.get(name).Settings if axis == "framework" else MASKINGS.get(name).Settings


def fields_of(section: str, values: Mapping[str, Any]) -> set[str]:
    """Return the names of the settings inside a section.

    Args:
        section: one of SECTIONS.
        values: of the configuration; they name the framework and the masking.
    """
    if section in ("framework", "masking"):
        return {"name", *axis_model(section, values[section]["name"]).model_fields}
    models: dict[str, type[BaseModel]] = {
        "optimiser": OptimiserSettings,
        "augmentation": AugmentationSettings,
        "batch_norm": BatchNormSettings,
    }
    return set(models[section].model_fields)
