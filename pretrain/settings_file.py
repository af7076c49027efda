"""Settings of a run from a YAML file: a run folder's settings.yaml, or one that a user wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.errors import UserError, shown, unknown_name
from mmbench.pretrain.config import SPELLINGS
from mmbench.pretrain.settings import PretrainConfig
from mmbench.settings.values import LONGEST_FILE, parse_yaml

BESIDES = ("scale", "effective")  # names that a file may hold and the configuration does not


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the settings that a file states, some or all of a configuration's.

    What `mmbench pretrain` writes into a run folder repeats that run. A file may also name a method and a
    scale and change a few settings:

        method: mixmask
        scale: imagenet
        optimiser: {lr: 0.06}

    Raises:
        UserError: the file cannot be read, is not a mapping, or states an unknown setting (near match named).
    """
    try:
        path = path / "settings.yaml" if path.is_dir() else path
        with path.open(encoding="utf-8") as stream:
            found = parse_yaml(stream.read(LONGEST_FILE + 1))
    except OSError as error:
        raise UserError(f"--config {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # UnicodeDecodeError is one too
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"--config {path}: {reason}") from None
    if not isinstance(found, dict):
        raise UserError(f"--config {path}: {shown(found)} is not a mapping of settings, such as epochs: 10")
    known = {*PretrainConfig.model_fields, *BESIDES}
    for name in found:
        if SPELLINGS.get(name, name) not in known:
            raise UserError(f"--config {path}: {unknown_name('setting', name, known)}")
    return found
