"""Downloads by https: whole or not at all, and kept only when the content is what was promised."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from striate.core import atomic
from striate.core.errors import WeightsNotFoundError
from striate.core.events import NoProgress, ProgressCallback
from striate.weights.catalogue import Checkpoint

# Not pooch: it follows redirects to http (`_OnlyHttps` refuses them) and has no hook before the file is in place.
TIMEOUT_S = 10.0
_CHUNK_BYTES = 1 << 20


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


OPENER = urllib.request.build_opener(_OnlyHttps())


def address(checkpoint: Checkpoint) -> str:
    """Where an entry's file is fetched from: its url, or the hub's address of it (``HF_ENDPOINT`` counts)."""
    if checkpoint.url is not None:
        return checkpoint.url
    assert checkpoint.hub is not None
    from huggingface_hub import hf_hub_url

    return hf_hub_url(checkpoint.hub, "model.safetensors")


def save(url: str, target: Path, accept: Callable[[str], None], progress: ProgressCallback | None = None) -> str:
    """Fetch `url` into `target`.

    Args:
        url: Begins with ``https://``, and so must every redirection.
        target: The file to write; its folder exists.
        accept: Called with the content's sha256 before the file takes its place; raises to refuse it.
        progress: Receives progress in bytes; None reports none.

    Returns:
        The content's sha256.

    Raises:
        WeightsNotFoundError: The network, or the server, does not give the file.
        StorageError: The file cannot be written.
    """
    progress = progress or NoProgress()
    _require_https(url)
    request = urllib.request.Request(url, headers={"User-Agent": "striate"})
    sha256, done = hashlib.sha256(), 0
    try:
        response = OPENER.open(request, timeout=TIMEOUT_S)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _failed(url, error) from error
    with response, atomic.replacing(target) as stream:
        length = response.headers.get("Content-Length")
        total = int(length) if length and length.isdecimal() else None
        progress.phase(f"downloading {target.name}", total, "byte")
        while True:
            try:  # apart from the writing, whose errors mean something else
                chunk = response.read(_CHUNK_BYTES)
            except (http.client.HTTPException, OSError) as error:
                raise _failed(url, error) from error
            if not chunk:
                break
            stream.write(chunk)
            sha256.update(chunk)
            done += len(chunk)
            progress.step(done)
        if total is not None and done != total:
            raise WeightsNotFoundError(f"{url} broke off after {done} of {total} bytes", hint="try again")
        accept(sha256.hexdigest())
    return sha256.hexdigest()


def _require_https(url: str) -> None:
    if not url.startswith("https://"):
        raise WeightsNotFoundError(f"{url} is not https, and weights are fetched by nothing else")


def _failed(url: str, error: Exception) -> WeightsNotFoundError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return WeightsNotFoundError(
        f"{url} cannot be fetched ({reason})", hint="try again with a network, or name a folder in STRIATE_WEIGHTS"
    )
