"""Networks on the Hugging Face hub: fetched by the commit that a name comes down to, and pushed as a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from striate.core import paths
from striate.core.atomic import make_folder
from striate.core.errors import PlanError, StriateError, WeightsNotFoundError
from striate.core.events import ProgressCallback
from striate.core.version import __version__

PREFIX = "hub:"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


class Api(Protocol):
    """What is used of `huggingface_hub.HfApi`; it finds its own login."""

    def snapshot_download(
        self, repo_id: str, *, revision: str | None, cache_dir: Path, local_files_only: bool, allow_patterns: list[str]
    ) -> Any:
        """Bring a repository's files here; the folder that holds them is called after the commit."""
        ...

    def create_repo(self, repo_id: str, *, private: bool | None, exist_ok: bool) -> Any:
        """Make a repository, where there is none."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
        """Commit a folder's files."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files of a repository on this machine.

    Args:
        repository: ``OWNER/NAME``.
        commit: The commit that they are of.
        folder: Where they lie.
    """

    repository: str
    commit: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A folder that was committed to a repository.

    Args:
        repository: ``OWNER/NAME``.
        commit: The new commit; empty where the hub does not say it.
        url: Where people look at it.
    """

    repository: str
    commit: str
    url: str


def connect() -> Api:
    """The hub, under its own login."""
    from huggingface_hub import HfApi

    return HfApi(library_name="striate", library_version=__version__)


def parse(text: str) -> tuple[str, str | None]:
    """Repository and revision of ``hub:OWNER/NAME[@REVISION]``.

    Raises:
        PlanError: It has another form.
    """
    match = _NAME.fullmatch(text.removeprefix(PREFIX))
    if match is None:
        raise PlanError(
            f"{text!r} is no place on the hub", hint=f"write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@COMMIT"
        )
    return match[1], match[2]


def fetch(
    text: str, names: Sequence[str], *, allow_download: bool = True, progress: ProgressCallback | None = None
) -> Fetched:
    """Bring files of a repository here, and no others; what is here of the commit is not fetched again.

    Args:
        text: ``hub:OWNER/NAME[@REVISION]``; without a revision the newest, or offline the one in the cache.
        names: The files.
        allow_download: Whether they may be fetched (``STRIATE_OFFLINE`` forbids it too).
        progress: Receives progress; None reports none.

    Raises:
        WeightsNotFoundError: They are not here and cannot be fetched, or the repository does not have them.
        PlanError: `text` has another form.
    """
    repository, revision = parse(text)
    offline = paths.offline() or not allow_download
    if progress is not None and not offline:
        progress.phase(f"querying the Hugging Face Hub for {repository}")
    with _explained(f"{text} cannot be fetched", WeightsNotFoundError, offline=offline):
        folder = Path(
            connect().snapshot_download(
                repository,
                revision=revision,
                cache_dir=make_folder(paths.home() / "hub"),
                local_files_only=offline,
                allow_patterns=list(names),
            )
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsNotFoundError(
            f"{text} has no {' and no '.join(missing)}",
            hint="striate reads what striate publish pushed; other networks are named NAME:WEIGHTS",
        )
    return Fetched(repository=repository, commit=folder.name, folder=folder)


def require_pushable(text: str) -> str:
    """The repository of ``hub:OWNER/NAME``, where it can be pushed to.

    Raises:
        PlanError: `text` has another form, or names a revision.
        WeightsNotFoundError: ``STRIATE_OFFLINE`` is set.
    """
    repository, revision = parse(text)
    if revision is not None:
        raise PlanError(f"a revision cannot be pushed to: {text}", hint=f"leave @{revision} out")
    if paths.offline():
        raise WeightsNotFoundError(
            f"{text} cannot be pushed to: STRIATE_OFFLINE is set", hint="unset it, or publish to a folder: --to FOLDER"
        )
    return repository


def push(folder: Path, text: str, *, private: bool | None, message: str) -> Pushed:
    """Commit a folder to a repository, which is made where there is none.

    Args:
        folder: Everything in it is pushed.
        text: ``hub:OWNER/NAME``.
        private: Whether a new repository is for its owner alone; None leaves that to the owner's settings.
        message: Of the commit.

    Raises:
        StriateError: The hub cannot be reached, or does not take it.
        PlanError: `text` has another form.
    """
    repository = require_pushable(text)
    api = connect()
    with _explained(f"{text} cannot be pushed to", StriateError, offline=False):
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    return Pushed(repository=repository, commit=str(done.oid), url=f"https://huggingface.co/{repository}")


@contextmanager
def _explained(what: str, kind: type[StriateError], *, offline: bool) -> Iterator[None]:
    """What huggingface_hub raises, as errors of ours.

    Raises:
        StriateError: Of class `kind`.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise kind(f"{what}: it has no such revision", hint="give a branch, a tag, or a commit in full") from error
    except (errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
        hint = "look at the name; a private or gated one needs a login: hf auth login"
        raise kind(f"{what}: there is no such repository, or it is closed to you", hint=hint) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        if offline:
            raise kind(f"{what}: it is not here and downloads are off", hint="unset STRIATE_OFFLINE") from error
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise kind(
            f"{what}: {reason}", hint="try again with a network; pushing needs a login: hf auth login"
        ) from error
