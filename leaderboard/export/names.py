"""Names that the tools take: of projects, and of MLflow's metrics and settings, each different."""

from __future__ import annotations

import re
from collections.abc import Iterable

# MLflow takes 250 characters (mlflow.utils.validation.MAX_ENTITY_KEY_LENGTH), and its file store makes each
# name a file's, of which file systems take 255 bytes.
LONGEST_NAME = 250  # bytes of UTF-8
# mlflow.utils.validation.validate_param_and_metric_name, without the slash: in the file store "a" is a file
# and "a/b" needs a folder "a", and "a//b" is refused.
FORBIDDEN = re.compile(r"[^\w\-.: ]")
DOTS = re.compile(r"^\.+")  # "..a" is taken for a path


def accepted_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name that MLflow takes for each name, no two equal; those that it takes stay as they are.

    A forbidden character becomes "_", the end of a long name goes, and what then equals another name gets a
    number, in the order of the names.

    >>> accepted_names(["AP_50", "AP@50", "AP$50", "top1"])
    {'AP_50': 'AP_50', 'top1': 'top1', 'AP$50': 'AP_50_2', 'AP@50': 'AP_50_3'}
    """
    wanted = {name: _taken(name) for name in sorted(set(names))}
    answer = {name: name for name, taken in wanted.items() if name == taken}
    used = set(answer)
    for name, taken in wanted.items():
        if name in answer:
            continue
        found, number = taken, 1
        while found in used:
            number += 1
            end = f"_{number}"
            found = _cut(taken, LONGEST_NAME - len(end)) + end
        answer[name] = found
        used.add(found)
    return answer


def renamed_words(answer: dict[str, str]) -> str | None:
    """Return a sentence that lists every name that was changed; None if none was."""
    changed = [f"{name} as {taken}" for name, taken in answer.items() if name != taken]
    return f"renamed, since MLflow does not take the names: {'; '.join(changed)}" if changed else None


def _taken(name: str) -> str:
    plain = DOTS.sub(lambda dots: "_" * len(dots.group()), FORBIDDEN.sub("_", name))
    return _cut(plain, LONGEST_NAME)


def _cut(text: str, longest: int) -> str:
    return text.encode()[:longest].decode(errors="ignore")


def why_unusable(project: str, longest: int, forbidden: str = "") -> str | None:
    """Return why a tool does not take the name of a project, as the end of a sentence; None if it does.

    Args:
        longest: characters that it may have.
        forbidden: characters that it may not have.
    """
    if not project.strip():
        return "is empty"
    if not project.isprintable():
        return "cannot be printed"
    if len(project) > longest:
        return f"has {len(project)} characters, of which {longest} are allowed"
    found = [letter for letter in forbidden if letter in project]
    return f"has {' '.join(found)} in it, which is not allowed" if found else None
