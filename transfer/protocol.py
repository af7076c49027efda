"""Protocols: versioned YAML files that say exactly how a task is run."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import unknown_name
from mmbench.results import Task
from mmbench.settings_types import first_problem
from mmbench.tasks import TaskSettings
from mmbench.transfer.inputs.framing import FramingRule, SmallImages, rule_for

Settings = TypeVar("Settings", bound=TaskSettings)


class Protocol(BaseModel):
    """One protocol file in transfer/protocols.

    Attributes:
        id: `task/name@version`; a change of anything that changes numbers is a new version.
        title: one line for people.
        metric: the primary metric.
        split: the split that is evaluated.
        selection: how hyperparameters were or are chosen.
        source: paper, section or repository.
        differs: where it differs from the source.
        image_size: side in pixels that it is written for; the record says if weights are fed another.
        small_images, crop_pct: how images are framed in evaluation, see `FramingRule`.
        settings: the task's own settings, checked by the task's settings model.
        change: what a later version changed, in a few words.
        revisions: later versions of the file's protocol. Each gives its `version`, its `change` and those
            fields that are new; of `settings`, those that are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9_]+/[a-z0-9_.-]+@[0-9]+$")
    task: Task
    title: str
    metric: str
    split: str = "test"
    selection: str
    source: str
    differs: str
    image_size: int | None = None
    small_images: SmallImages = "margin"
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    settings: dict[str, Any]
    change: str = ""
    revisions: tuple[dict[str, Any], ...] = ()

    def framing(self, card: ModelCard | None) -> FramingRule:
        """Return how images are framed for weights with this card; None for a control."""
        return rule_for(self.small_images, self.crop_pct, card)

    def versions(self) -> Iterator[Protocol]:
        """Yield the protocol of the file, then its later versions."""
        values = self.model_dump(exclude={"revisions"})
        yield Protocol.model_validate(values)
        for revision in self.revisions:
            changes = dict(revision)
            name = self.id.partition("@")[0]
            settings = {**values["settings"], **changes.pop("settings", {})}
            values = {**values, "id": f"{name}@{changes.pop('version')}", **changes, "settings": settings}
            yield Protocol.model_validate(values)


@functools.cache
def protocols() -> dict[str, Protocol]:
    """Return every shipped protocol by id, sorted by id."""
    found: dict[str, Protocol] = {}
    for entry in resources.files("mmbench.transfer.protocols").iterdir():
        if entry.name.endswith(".yaml"):
            in_file = Protocol.model_validate(yaml.safe_load(entry.read_text(encoding="utf-8")))
            for protocol in in_file.versions():
                if protocol.id in found:
                    raise ValueError(f"protocol '{protocol.id}' is defined twice, once in {entry.name}")
                found[protocol.id] = protocol
    return dict(sorted(found.items()))


def get_protocol(protocol_id: str) -> Protocol:
    """Return one protocol.

    Raises:
        UserError: there is none of that id (near match named).
    """
    if protocol_id not in protocols():
        raise unknown_name("protocol", protocol_id, protocols())
    return protocols()[protocol_id]


def parse_settings(model: type[Settings], protocol: Protocol, overrides: dict[str, Any]) -> Settings:
    """Return the protocol's settings, with overrides, as the task's own typed model.

    Raises:
        UserError: an override names no setting (near match named) or has a value of the wrong kind.
    """
    values = {**protocol.settings, **overrides}
    checked: type[Settings] = model.variant(values)  # type: ignore[assignment]
    for name in overrides:
        if name not in checked.model_fields:
            raise unknown_name(f"setting of {protocol.id}", name, checked.model_fields)
    try:
        return checked.model_validate(values, context={"stated": set(overrides)})
    except ValidationError as error:
        raise first_problem(error, owner=protocol.id) from None
