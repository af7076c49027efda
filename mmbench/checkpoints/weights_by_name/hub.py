"""The model hub and the caches of its files: fetch weights by name, push a converted timm folder."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlparse

import torch
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from torch.hub import HASH_REGEX

from mmbench.errors import UserError
from mmbench.files import sha256_of

PATIENCE = 10.0  # seconds without an answer
SHORTEST_HASH = 8  # hexadecimal digits in a file name; fewer are part of the name


def check_name(repository: str) -> None:
    """Raise UserError unless the hub accepts this name of a repository."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"'{repository}' is not a repository name ({_first(error)}); use USER/NAME") from None


def fetch(repository: str, names: Sequence[str], what: str, beside: Sequence[str] = ()) -> Path:
    """Return the first of the files `names` that a repository of the model hub has.

    A file in the hub's cache is used without asking the hub; otherwise it is downloaded to there.

    Args:
        repository: "user/name", or "user/name@revision".
        names: file names, the preferred one first.
        what: what the file is for, as the user named it; the error begins with it.
        beside: files that are downloaded with it where the repository has them.

    Raises:
        UserError: not in the cache, and the hub cannot be reached or has no such file.
    """
    name, _, revision = repository.partition("@")
    check_name(name)
    for file in names:
        with contextlib.suppress(LocalEntryNotFoundError):
            return Path(hf_hub_download(name, file, revision=revision or None, local_files_only=True))
    missing = f"{what}: {' or '.join(names)} of {name} is not in the hub's cache ({constants.HF_HUB_CACHE})"
    advice = f"run `hf download {name}` where there is a network and copy the cache, or set HF_HOME"
    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{missing}, and HF_HUB_OFFLINE forbids downloads; {advice}")
    try:
        # One request without retries: the client's downloads wait half a minute for a network.
        info = HfApi().model_info(name, revision=revision or None, timeout=PATIENCE)
        listed = {sibling.rfilename for sibling in info.siblings or ()}
        file = next((file for file in names if file in listed), "")
        if file:
            for other in listed.intersection(beside):
                hf_hub_download(name, other, revision=revision or None)
            return Path(hf_hub_download(name, file, revision=revision or None))
    except RepositoryNotFoundError:
        raise UserError(
            f"{what}: the hub has no repository {name}, or it is not public; check the name, or run "
            "`hf auth login`"
        ) from None
    except Exception as error:  # the client lets errors of its HTTP library through, whichever it uses
        raise UserError(f"{missing}, and the hub did not answer ({_first(error)}); {advice}") from None
    raise UserError(f"{what}: {name} has no {' or '.join(names)}, so timm cannot read it; check the name")


def fetch_url(url: str, what: str) -> Path:
    """Return a file of torch's own cache, downloaded to there where it is missing.

    Names such as resnet50-11ad3fa6.pth hold the start of the file's SHA-256, which is always compared.

    Raises:
        UserError: not in the cache and not to be had, or another file under this name.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    found = HASH_REGEX.search(path.name)
    prefix = found[1] if found and len(found[1]) >= SHORTEST_HASH else ""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _patience():
                torch.hub.download_url_to_file(url, str(path), prefix or None, sys.stderr.isatty())
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{what}: {path.name} is not in torch's cache ({path.parent}) and was not downloaded "
                f"({_first(error)}); put the file from {url} there, or set TORCH_HOME"
            ) from None
    if prefix and not sha256_of(path).startswith(prefix):
        raise UserError(
            f"{path} is damaged or another file: its SHA-256 does not begin with {prefix}; delete it, and it "
            "is downloaded again"
        )
    return path


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Give up a connection that does not answer: urllib itself would wait for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Create `repository` ("user/name") where it is new, upload the folder, and return the address.

    Raises:
        UserError: no access, no network, or a name that the hub does not accept. The folder stays.
    """
    check_name(repository)
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=f"{folder.name}, converted by mmbench"
        )
    except Exception as error:  # the client lets errors of its HTTP library through, whichever it uses
        raise UserError(
            f"{folder} is complete, but was not pushed to {repository}: {_first(error)}; fix that (access: "
            f"`hf auth login`), then `hf upload {repository} {folder}`"
        ) from None
    return str(commit.repo_url)


def _first(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")[:160]
