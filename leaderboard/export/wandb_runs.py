"""Records as offline runs of Weights & Biases: written to a folder, sent nowhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from mmbench.errors import UserError, typed
from mmbench.leaderboard.export.names import why_unusable
from mmbench.leaderboard.export.records import Exported, library, records_of, require_empty, variables
from mmbench.leftovers import replacing_folder

LONGEST_PROJECT = 128  # characters; wandb.sdk.wandb_settings.Settings.validate_project
FORBIDDEN = "/\\#?%:"  # in names of projects; as above
ID_DIGITS = 16  # of the SHA-256 that identifies a run
PLACES = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")  # where the library may write


def export_wandb(frame: pd.DataFrame, out: Path, project: str) -> Exported:
    """Write each record as an offline run of Weights & Biases into `out`.

    `wandb sync` sends them. Offline runs need no account and no network. The id of a run is a digest of its
    record, so that the same record is the same run in every export. Environment variables of the user's own
    runs (WANDB_RUN_ID, WANDB_SWEEP_ID and the like) are not heeded.

    Args:
        frame: the records.
        out: folder, new or empty; it holds all runs or, after a failure, none.
        project: its name, or "entity/name".

    Raises:
        MissingExtraError: wandb is not installed.
        UserError: the project has a name that wandb refuses, or `out` holds something.
    """
    entity, name = _entity_and_name(project)
    with variables("WANDB_", kept=PLACES):
        wandb = library("wandb", "wandb")
        require_empty(out)
        known: set[str] = set()
        with replacing_folder(out) as folder:
            for record in records_of(frame):
                identity = record.digest[:ID_DIGITS]
                if identity in known:  # a copy below another name
                    both = f"{record.digest} {record.name}"
                    identity = hashlib.sha256(both.encode()).hexdigest()[:ID_DIGITS]
                known.add(identity)
                run = wandb.init(
                    project=name,
                    entity=entity,
                    id=identity,
                    dir=str(folder),
                    name=record.name,
                    group=record.facts["row"],
                    job_type=record.facts["task"],
                    config={
                        **record.facts,
                        "record": record.name,
                        "settings": record.config,
                        "metrics": record.about,
                    },
                    mode="offline",
                    settings=wandb.Settings(silent=True),
                )
                run.summary.update(record.metrics)
                run.finish()
    return Exported(len(known))


def _entity_and_name(project: str) -> tuple[str | None, str]:
    """Return the two parts of "entity/name"; None for an entity that is not given.

    Raises:
        UserError: wandb refuses the name.
    """
    entity, slash, name = project.rpartition("/")
    for kind, part in (("entity", entity), ("name", name))[not slash :]:
        if reason := why_unusable(part, LONGEST_PROJECT, FORBIDDEN):
            words = f"--project {typed(project) or repr(project)} is not a valid project of Weights & Biases"
            raise UserError(f"{words}: its {kind} {reason}; choose another, as NAME or ENTITY/NAME")
    return entity or None, name
