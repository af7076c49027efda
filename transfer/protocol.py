"""Protocols: versioned YAML files that say exactly how a task is run, ours and those of users."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError, unknown_name
from mmbench.settings.problems import first_problem
from mmbench.settings.values import parse_yaml
from mmbench.tasks import protocol_folders
from mmbench.transfer.inputs.framing import FramingRule, SmallImages, rule_for


class Protocol(BaseModel):
    """One protocol file, in transfer/protocols or of a user.

    Attributes:
        id: `task/name@version`; a change of anything that changes numbers is a new version.
        title: one line for people.
        metric: the primary metric, one of those that the task declares.
        multilabel: for data whose images have several labels each.
        split: the split that is evaluated.
        selection: how hyperparameters were or are chosen.
        source: paper, section or repository.
        differs: where it differs from the source.
        trials: how many runs a published number is the mean of; where no seeds are given, those from 0 to
            trials - 1 are run.
        image_size: side in pixels that it is written for; the record says if weights are fed another.
        small_images, crop_pct: how images are framed in evaluation, see `FramingRule`.
        settings: the task's own settings, checked by the task's settings model.
        change: what a later version changed, in a few words.
        revisions: later versions of the file's protocol. Each gives its `version`, its `change` and those
            fields that are new; of `settings`, those that are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9_]+/[a-z0-9_.-]+@[0-9]+$")
    task: str
    title: str
    metric: str
    multilabel: bool = False
    split: str = "test"
    selection: str
    source: str
    differs: str
    trials: int = Field(default=1, ge=1, le=100)
    image_size: int | None = None
    small_images: SmallImages = "margin"
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    settings: dict[str, Any]
    change: str = ""
    revisions: tuple[dict[str, Any], ...] = ()

    def evaluated(self) -> Split:
        """Return the split that is evaluated.

        Raises:
            UserError: there is no such split in any data set.
        """
        if self.split not in SPLITS:
            raise UserError(f"protocol {self.id} evaluates the unknown split '{self.split}'")
        return self.split

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


class _Files(NamedTuple):
    """Protocols by id, sorted, and a line for each file that cannot be used."""

    protocols: dict[str, Protocol]
    broken: tuple[str, ...]


@functools.cache
def _files() -> _Files:
    """Read every protocol file of ours and of the plugins; a file that cannot be used is skipped."""
    found: dict[str, Protocol] = {}
    broken = []
    for folder in (resources.files("mmbench.transfer.protocols"), *protocol_folders()):
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if not file.name.endswith(".yaml"):
                continue
            try:
                versions = _read(file.read_bytes(), file.name)
                if taken := [version.id for version in versions if version.id in found]:
                    raise UserError(f"{file.name} defines {taken[0]}, which another file defines too")
            except UserError as error:
                broken.append(str(error))
                continue
            found.update({version.id: version for version in versions})
    return _Files(dict(sorted(found.items())), tuple(broken))


def _read(content: bytes, name: str) -> list[Protocol]:
    """Return the versions of the protocol in a file.

    Raises:
        UserError: the file is not a protocol; the message names it, the field and the reason.
    """
    try:
        values = parse_yaml(content.decode())
        if not isinstance(values, dict):
            raise UserError(f"{name} is not a protocol: write a line such as `task: linear` for each field")
        return list(Protocol.model_validate(values).versions())
    except ValidationError as error:
        raise UserError(
            f"{name} is not a valid protocol: {first_problem(error, values, owner=name)}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} is not a valid protocol: {reason}") from None


def protocols() -> dict[str, Protocol]:
    """Return every protocol of mmbench and of plugins by id, sorted by id."""
    return _files().protocols


def broken_protocols() -> tuple[str, ...]:
    """Return one line for each protocol file that is skipped because it cannot be used."""
    return _files().broken


@functools.cache
def _of_own_file(name: str) -> dict[str, Protocol]:
    """Return the versions in the file of ours that is called as a protocol is; reading all takes longer."""
    file = resources.files("mmbench.transfer.protocols") / f"{name.replace('/', '-')}.yaml"
    try:
        return {version.id: version for version in _read(file.read_bytes(), file.name)}
    except (OSError, ValueError, UserError):  # no such file, or no file can be called so
        return {}


def get_protocol(protocol_id: str) -> Protocol:
    """Return the protocol with this id.

    Raises:
        UserError: there is none (near match named); files that could not be read are named too.
    """
    if protocol_id in (own := _of_own_file(protocol_id.partition("@")[0])):
        return own[protocol_id]
    if protocol_id not in protocols():
        unknown = unknown_name("protocol", protocol_id, protocols())
        raise UserError("; skipped: ".join([str(unknown), *broken_protocols()]))
    return protocols()[protocol_id]


def is_file_name(protocol: str) -> bool:
    """Return whether `protocol` names a file instead of an id."""
    return protocol.endswith((".yaml", ".yml"))


def read_protocol(path: Path) -> tuple[Protocol, str]:
    """Return the latest version of the protocol in a user's own file, and the SHA-256 of the file.

    Raises:
        UserError: the file cannot be read, is not a protocol, or takes the id of one of ours.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"the protocol {path} cannot be read: {error.strerror}") from None
    protocol = _read(content, str(path))[-1]
    if protocol.id in protocols() and protocols()[protocol.id] != protocol:
        raise UserError(
            f"{path} has the id {protocol.id}, which is a protocol of mmbench with other values; "
            "give it another name or version"
        )
    return protocol, hashlib.sha256(content).hexdigest()
