"""From the names of tasks and protocols to a task with its protocol and its typed settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from mmbench.errors import UserError, unknown_name
from mmbench.home import at_home
from mmbench.records.record import CUSTOM
from mmbench.settings.effects import require_effects
from mmbench.settings.problems import first_problem
from mmbench.tasks import TASKS, TaskEntry, TaskSettings
from mmbench.transfer.protocol import Protocol, get_protocol, is_file_name, read_protocol

Settings = TypeVar("Settings", bound=TaskSettings)


class ResolvedTask(NamedTuple):
    """A task, the protocol that it follows, and its settings, overrides included.

    Attributes:
        named: the protocol as it can be named again: its id, or the path of the user's own file.
        overrides: those settings that take the place of the protocol's.
        file_sha256: SHA-256 of the user's own file that the protocol is from; None for ours.
    """

    entry: TaskEntry
    protocol: Protocol
    settings: TaskSettings
    named: str
    overrides: Mapping[str, Any]
    file_sha256: str | None = None

    @property
    def protocol_id(self) -> str:
        """The protocol's id as it is recorded; "+custom" is added where the library's own keys change it."""
        return self.protocol.id + (CUSTOM if self.settings.customised else "")

    def require_effects(self) -> None:
        """Check that every override has an effect beside the other settings.

        Resolving a task does not check that, as records and suites of earlier versions may state such ones.

        Raises:
            UserError: one has none.
        """
        values = {**getattr(self.settings, "library", {}), **dict(self.settings)}
        require_effects(values, self.settings.effects(), self.overrides, self.protocol.id)


def resolve_task(
    name: str | None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    data: str | None = None,
) -> ResolvedTask:
    """Return a task with its protocol and settings.

    Args:
        name: of the task; None takes the protocol's.
        protocol: id, or path of a YAML file; the task's default one where it is None.
        overrides: settings in place of the protocol's.
        data: name of the data set, which may have a default protocol of its own.

    Raises:
        UserError: unknown task, protocol or setting (near match named), a protocol of another task, or a
            value out of range.
    """
    entry = None if name is None else TASKS.get(name)
    sha256 = None
    if protocol is not None and is_file_name(protocol):
        protocol = at_home(protocol)
        followed, sha256 = read_protocol(Path(protocol))
    elif protocol is not None or entry is not None:
        followed = get_protocol(protocol or (entry.protocol_on(data) if entry else ""))
    else:
        raise UserError("name a task or a protocol")
    entry = entry or TASKS.get(followed.task)
    if followed.task != entry.name:
        raise UserError(f"protocol {followed.id} is for task '{followed.task}', not for '{entry.name}'")
    if followed.metric not in entry.metrics:
        wrong = unknown_name(f"metric of {entry.name}", followed.metric, entry.metrics)
        raise UserError(f"protocol {followed.id}: {wrong}")
    changed = dict(overrides or {})
    settings = parse_settings(entry.settings, followed, changed)
    named = followed.id if sha256 is None else str(protocol)
    return ResolvedTask(entry, followed, settings, named, changed, sha256)


def resolve_tasks(
    names: Sequence[str],
    protocols: Sequence[str],
    overrides: Mapping[str, Any],
    data: str | None = None,
) -> tuple[ResolvedTask, ...]:
    """Return tasks with their protocols and settings, for one or several tasks and protocols.

    Args:
        names: of tasks; none takes those of the protocols.
        protocols: ids or files; a task without one takes its default protocol.
        overrides: settings; with several tasks "TASK.NAME" sets one of a single task, and "NAME" one of each
            task that has it.
        data: see `resolve_task`.

    Raises:
        UserError: see `resolve_task`; a setting that none of the tasks has.
    """
    by_task: dict[str, list[str]] = {TASKS.get(name).name: [] for name in names}
    for protocol in protocols:
        found = resolve_task(names[0] if len(names) == 1 else None, protocol)
        if names and found.entry.name not in by_task:
            raise UserError(
                f"protocol {protocol} is for task '{found.entry.name}', which --task does not name"
            )
        by_task.setdefault(found.entry.name, []).append(protocol)
    pairs: list[tuple[str, str | None]] = [
        (name, protocol) for name, given in by_task.items() for protocol in (*given,) or (None,)
    ]
    if len(pairs) == 1:
        return (resolve_task(*pairs[0], overrides, data),)
    bare = [resolve_task(name, protocol, data=data) for name, protocol in pairs]
    own = [_own_overrides(task, overrides) for task in bare]
    used = {
        spelling
        for task, part in zip(bare, own, strict=True)
        for name in part
        for spelling in (name, f"{task.entry.name}.{name}")
    }
    for setting in overrides:
        if setting not in used:
            known = {name for task in bare for name in type(task.settings).model_fields}
            raise unknown_name("setting of these tasks", setting, known)
    return tuple(
        resolve_task(name, protocol, part, data) for (name, protocol), part in zip(pairs, own, strict=True)
    )


def _own_overrides(task: ResolvedTask, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return those overrides that are for a task, without its name; its own win."""
    prefix = f"{task.entry.name}."
    model = task.entry.settings.variant({**task.protocol.settings, **overrides})
    known = {*model.model_fields, *model.library_keys(tuple(overrides))}
    shared = {name: value for name, value in overrides.items() if name in known}
    own = {name[len(prefix) :]: value for name, value in overrides.items() if name.startswith(prefix)}
    return {**shared, **own}


def parse_settings(model: type[Settings], protocol: Protocol, overrides: Mapping[str, Any]) -> Settings:
    """Return the protocol's settings, with overrides, as the task's own typed model.

    Where an override asks for another variant of the model, such as another detector, those settings of the
    protocol that it does not have are left out. Keys of the library's own configuration go into the setting
    `library`.

    Raises:
        UserError: an override names no setting (near match named), or has a value of the wrong kind.
    """
    checked: type[Settings] = model.variant({**protocol.settings, **overrides})  # type: ignore[assignment]
    written = dict(protocol.settings)
    if checked is not model.variant(written):
        written = {name: value for name, value in written.items() if name in checked.model_fields}
    keys = checked.library_keys(tuple(overrides))
    stated = {name: value for name, value in overrides.items() if name not in keys}
    if keys:
        library = {**written.get("library", {}), **stated.get("library", {})}
        stated["library"] = library | {key: overrides[key] for key in keys}
    for name in stated:
        if name not in checked.model_fields:
            raise unknown_name(f"setting of {protocol.id}", name, checked.model_fields)
    context, given = {"stated": set(stated), "protocol": protocol.settings}, {**written, **stated}
    try:
        settings = checked.model_validate(given, context=context)
    except ValidationError as error:
        raise first_problem(error, given, owner=protocol.id) from None
    return settings
