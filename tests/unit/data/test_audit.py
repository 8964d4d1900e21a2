from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.core.errors import DataError
from striate.core.events import NoProgress
from striate.data.audit import audit
from striate.data.digest import digests
from striate.data.index import scan
from striate.data.split import split
from striate.jobs import check, dataset
from striate.records.io import dumps
from striate.records.plans import CheckPlan
from striate.records.results import DataIssue
from striate.tasks.classify.task import Classification


def noise(path: Path, seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for i in range(12):
        noise(tmp_path / f"cat/{i}.png", i)
        noise(tmp_path / f"dog/{i}.png", 100 + i)
    return tmp_path


def issues(root: Path) -> dict[str, DataIssue]:
    index = scan(root)
    task, targets = Classification.read(index)
    return {issue.kind: issue for issue in task.audit(index, targets, digests(index, NoProgress()))}


def test_clean_images_have_no_issue(pets: Path) -> None:
    assert issues(pets) == {}


def test_copies_and_contradictions(pets: Path) -> None:
    (pets / "cat/copy.png").write_bytes((pets / "cat/3.png").read_bytes())
    (pets / "dog/same.png").write_bytes((pets / "cat/4.png").read_bytes())
    found = issues(pets)
    assert set(found) == {"duplicate", "contradiction"}
    assert found["duplicate"].files == ("cat/3.png", "cat/copy.png", "cat/4.png", "dog/same.png")
    assert found["contradiction"].files == ("cat/4.png", "dog/same.png")
    assert "cat/4.png (cat), dog/same.png (dog)" in found["contradiction"].detail


def test_leaks(tmp_path: Path) -> None:
    for i in range(12):
        for number, place in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
            noise(tmp_path / place / f"{i}.png", 100 * number + i)
    (tmp_path / "test/cat/again.png").write_bytes((tmp_path / "train/cat/5.png").read_bytes())
    found = issues(tmp_path)
    assert found["leak"].files == ("test/cat/again.png", "train/cat/5.png")


def test_groups_across_splits_are_a_leak(pets: Path) -> None:
    rows = [f"{c}/{i}.png,{c},{'train' if i < 6 else 'test'},{c}{i % 11}" for c in ("cat", "dog") for i in range(12)]
    (pets / "list.csv").write_text("path,label,split,group\n" + "\n".join(rows))
    found = issues(pets / "list.csv")
    assert found["leak"].files == ("cat/0.png", "cat/11.png", "dog/0.png", "dog/11.png")


def test_imbalance_and_small_classes(pets: Path) -> None:
    for i in range(2, 12):
        (pets / f"dog/{i}.png").unlink()
    found = issues(pets)
    assert set(found) == {"imbalance", "small_class"}
    assert "'cat' has 12 images, 'dog' has 2" in found["imbalance"].detail


def test_classes_missing_from_a_part(pets: Path) -> None:
    for i in range(2):
        noise(pets / f"eel/{i}.png", 500 + i)
    index = scan(pets)
    hashes = digests(index, NoProgress())
    task, targets = Classification.read(index)
    parts = split(index, hashes, seed=0, strata=task.strata(targets))
    details = " ".join(issue.detail for issue in task.audit(index, targets, hashes, parts))
    assert "set has no image of 'eel'" in details


def test_modes(pets: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    noise(pets / "cat/cmyk.jpg", 1, mode="CMYK")
    noise(pets / "cat/alpha.png", 2, mode="RGBA")
    noise(pets / "cat/palette.png", 3, mode="P")
    noise(pets / "cat/turned.jpg", 4, exif=exif)
    Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50).save(pets / "cat/deep.png")
    frames = [Image.new("RGB", (40, 30), shade) for shade in ("red", "blue")]
    frames[0].save(pets / "cat/moving.webp", save_all=True, append_images=frames[1:])
    index = scan(pets)
    found = audit(index, digests(index, NoProgress()))
    by_file = {(issue.kind, file): issue.detail for issue in found for file in issue.files}
    assert set(by_file) == {
        ("mode", "cat/cmyk.jpg"),
        ("mode", "cat/alpha.png"),
        ("mode", "cat/palette.png"),
        ("mode", "cat/deep.png"),
        ("orientation", "cat/turned.jpg"),
        ("animated", "cat/moving.webp"),
    }
    assert "more than 8 bits" in by_file["mode", "cat/deep.png"]


def test_sizes(pets: Path) -> None:
    noise(pets / "cat/tiny.png", 1, size=(3, 3))
    noise(pets / "cat/strip.png", 2, size=(300, 30))
    noise(pets / "cat/large.png", 3, size=(300, 300))
    assert issues(pets)["size"].files == ("cat/large.png", "cat/strip.png", "cat/tiny.png")


def test_check_finds_what_only_decoding_shows(pets: Path) -> None:
    path = pets / "cat/0.png"
    path.write_bytes(path.read_bytes()[:-200])  # the header is whole
    (pets / "dog/0.png").write_bytes(b"")
    (pets / "dog/notes.txt").write_text("x")
    found = json.loads(dumps(check.run(CheckPlan(data=str(pets)))))
    assert found["classes"] == {"cat": 12, "dog": 12}
    assert found["images"] == 24
    assert set(found) == {"classes", "images", "issues"}
    assert [issue["files"] for issue in found["issues"] if issue["kind"] == "skipped"] == [["dog/notes.txt"]]
    unreadable = {f: p["detail"] for p in found["issues"] if p["kind"] == "unreadable" for f in p["files"]}
    assert set(unreadable) == {"cat/0.png", "dog/0.png"}
    assert "'dog' is empty" in unreadable["dog/0.png"]


def test_check_of_digits() -> None:
    found = check.run(CheckPlan(data="digits"))
    assert (found.images, found.issues) == (1797, ())


def test_check_refuses_what_fit_would(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        check.run(CheckPlan(data=str(tmp_path)))


def test_images_of_16_bits_that_use_12_are_an_issue_of_the_source(tmp_path: Path) -> None:
    def save(name: str, top: int) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        levels = np.random.default_rng(len(name) + top).integers(0, top + 1, (12, 12), dtype=np.uint16)
        levels[0, 0] = top
        Image.fromarray(levels).save(path)

    for i in range(4):
        save(f"a/{i}.tif", 4095 - i)
        save(f"b/{i}.png", 4000 - i)
    found = issues(tmp_path)
    assert set(found) == {"mode", "levels", "small_class"}
    assert len(found["levels"].files) == 8
    assert "8 of 8 images of 16 bits that were looked at never exceed 4095 of 65535" in found["levels"].detail

    notes: list[str] = []

    class Notes(NoProgress):
        def note(self, message: str, **facts: object) -> None:
            notes.append(message)

    dataset.hash_and_split(dataset.read("classify", str(tmp_path), None), seed=0, progress=Notes())
    assert [note for note in notes if "never exceed 4095" in note]
    for i in range(4):
        save(f"a/{i}.tif", 65535 - i)
        save(f"b/{i}.png", 4096 + i)
    assert set(issues(tmp_path)) == {"mode", "small_class"}


def test_pages_and_damaged_metadata_are_issues(pets: Path) -> None:
    page = Image.new("L", (40, 30), 9)
    page.save(pets / "cat/pages.tif", save_all=True, append_images=[page, page])
    exif = b"Exif\0\0garbage"
    Image.new("RGB", (40, 30), (9, 0, 0)).save(pets / "dog/exif.webp", exif=exif)
    found = issues(pets)
    assert set(found) == {"pages", "metadata"}
    assert found["pages"].files == ("cat/pages.tif",)
    assert "the first page is used" in found["pages"].detail
    assert found["metadata"].files == ("dog/exif.webp",)
