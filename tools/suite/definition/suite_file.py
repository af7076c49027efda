"""Read a suite: a shipped one by name, or a YAML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from mmbench.data.names import exists
from mmbench.errors import UserError, shown, typed, unknown_name
from mmbench.settings.problems import first_problem
from mmbench.settings.values import LONGEST_FILE, parse_yaml
from mmbench.tools.suite.definition.resolve import resolve
from mmbench.tools.suite.definition.suite import Suite

SHIPPED = Path(__file__).parents[1] / "suites"
ENDINGS = (".yaml", ".yml")


def shipped_suites() -> list[str]:
    """Return the names of the shipped suites, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def read_suite(spec: str) -> Suite:
    """Return a suite by its name, or from a YAML file.

    Args:
        spec: a shipped name, or a path: with a separator, with a YAML ending, or of something that exists.

    Raises:
        UserError: no such suite (near match named), a file that cannot be read, or a suite that cannot be
            meant; the message is one line.
    """
    if spec in shipped_suites():
        return suite_of(_text(SHIPPED / f"{spec}.yaml"), f"suite {spec}")
    path = Path(spec)
    if not spec or not ("/" in spec or path.suffix.lower() in ENDINGS or exists(path)):
        for name in (f"{spec}{ending}" for ending in ENDINGS):
            if spec and exists(Path(name)):
                raise UserError(f"{typed(spec)} is not a shipped suite; for your file name {typed(name)}")
        raise UserError(
            f"{unknown_name('suite', spec, shipped_suites())}; or name a YAML file, such as mine.yaml"
        )
    return suite_of(_text(path), typed(spec))


def _text(path: Path) -> str:
    """Return the text of a file, not longer than a suite can be.

    Raises:
        UserError: it is not there, not a file, too long or not text.
    """
    name = typed(str(path))
    try:
        if path.is_dir():
            raise UserError(f"{name} is a folder, not a suite; name a YAML file")
        if path.exists() and not path.is_file():
            raise UserError(f"{name} is not a regular file; name a YAML file")
        with path.open("rb") as stream:
            content = stream.read(LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise UserError(f"the suite {name} cannot be read: {reason}") from None
    if len(content) > LONGEST_FILE:
        raise UserError(f"{name} has more than {LONGEST_FILE:,} bytes, so it is not a suite")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{name} is not a text file (UTF-8), so it is not a suite") from None


def suite_of(text: str, name: str) -> Suite:
    """Return the suite that a YAML text states, checked.

    Args:
        name: of the text, for messages.

    Raises:
        UserError: it is not plain YAML, has unknown or wrong fields, or cannot be meant.
    """
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    if not isinstance(values, dict):
        kind = "empty" if values is None else f"{shown(values)}, not a list of fields"
        raise UserError(f"{name} is {kind}; write a line such as `name: mine` for each field")
    try:
        suite = Suite.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{name}: {first_problem(error, values)}") from None
    try:
        resolve(suite)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return suite
