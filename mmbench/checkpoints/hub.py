"""Push a converted timm folder to the model hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from mmbench.errors import UserError


def check_name(repository: str) -> None:
    """Raise UserError unless the hub takes this name of a repository."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"'{repository}' is no repository name ({_first(error)}); use USER/NAME") from None


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Create `repository` ("user/name") where it is new, upload the folder, and return the address.

    Raises:
        UserError: no access, no network, or a name that the hub does not take. The folder stays.
    """
    check_name(repository)
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"{folder.name}, converted by mmbench"
        )
    except Exception as error:  # the hub's client lets errors of its HTTP library through, whichever it uses
        raise UserError(
            f"{folder} is complete, but was not pushed to {repository}: {_first(error)}; mend that (access: "
            f"`hf auth login`), then `hf upload {repository} {folder}`"
        ) from None
    return str(commit.repo_url)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")[:160]
