"""Which folders are classes, which are splits, and which are neither."""

from __future__ import annotations

import re

import pytest

from striate.core.errors import DataError
from striate.data.layout import Layout, arrange


def arranged(*files: str, folders: tuple[str, ...] = (), as_classes: bool = False) -> Layout:
    around = {file.rsplit("/", depth)[0] for file in files for depth in range(1, file.count("/") + 1)}
    return arrange(files, {*around, *folders}, source="pets", as_classes=as_classes)


def refusal(*files: str, folders: tuple[str, ...] = ()) -> DataError:
    with pytest.raises(DataError) as caught:
        arranged(*files, folders=folders)
    return caught.value


UNLABELLED = ("test/1.jpg", "test/2.jpg")


def labelled(split: str) -> tuple[str, ...]:
    return (f"{split}/rose/1.jpg", f"{split}/tulip/1.jpg")


def test_unlabelled_test_images_are_no_class() -> None:
    found = arranged(*labelled("train"), *UNLABELLED)
    assert found.classes == ("rose", "tulip")
    assert found.splits == ["train", "train"]
    assert set(found.skipped) == set(UNLABELLED)
    assert found.skipped["test/1.jpg"] == "it is unlabelled: the folder test has no class folders"


@pytest.mark.parametrize("inside", ["unknown", "test", "images", "all"])
def test_one_folder_in_a_test_folder_is_no_class(inside: str) -> None:
    found = arranged(*labelled("train"), f"test/{inside}/1.jpg")
    assert found.classes == ("rose", "tulip")
    assert set(found.skipped) == {f"test/{inside}/1.jpg"}


def test_a_split_folder_inside_a_split_folder() -> None:
    kaggle = ("seg_train/seg_train/sea/1.jpg", "seg_train/seg_train/street/2.jpg", "seg_test/seg_test/sea/3.jpg")
    found = arranged(*kaggle, "seg_pred/seg_pred/4.jpg")
    assert found.classes == ("sea", "street")
    assert list(zip(found.labels, found.splits or [], strict=True)) == [
        ("sea", "test"),
        ("sea", "train"),
        ("street", "train"),
    ]
    assert set(found.skipped) == {"seg_pred/seg_pred/4.jpg"}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-set", "train"),
        ("train set", "train"),
        ("trainset", "train"),
        ("train_images", "train"),
        ("train_data", "train"),
        ("Trn", "train"),
        ("TrainingImages", "train"),
        ("train2017", "train"),
        ("dev", "validation"),
        ("eval", "validation"),
        ("Valid_Set", "validation"),
        ("holdout", "test"),
        ("hold-out", "test"),
        ("test1", "test"),
        ("PrivateTest", "test"),
        ("imgs_tst", "test"),
    ],
)
def test_split_folders_by_any_usual_name(name: str, split: str) -> None:
    others = {"train", "validation", "test"} - {split}
    found = arranged(*labelled(name), *(file for other in sorted(others) for file in labelled(other)))
    assert found.classes == ("rose", "tulip")
    assert found.splits is not None
    assert [side for side, row in zip(found.splits, found.rows, strict=True) if row < 2] == [split, split]


def test_folders_that_differ_in_the_split_are_splits() -> None:
    found = arranged(*labelled("flowers_train"), *labelled("flowers_test"))
    assert found.classes == ("rose", "tulip")
    assert found.splits == ["test", "test", "train", "train"]


@pytest.mark.parametrize("split", ["train", "dev", "seg_test", "trainset", "holdout", "test1"])
def test_a_split_folder_among_others_is_refused(split: str) -> None:
    error = refusal(*labelled(split), "extra/1.jpg", "rose/2.jpg")
    assert error.message == f"'{split}' is named like a split, but 'extra' and 'rose' stand beside it"
    assert error.hint is not None
    assert error.hint.endswith("striate check classes:pets")


def test_images_directly_in_split_folders_are_refused() -> None:
    error = refusal("train/1.jpg", "train/2.jpg", "test/1.jpg")
    assert error.message == "'test' and 'train' are named like splits and have no class folders"
    assert re.search(r"manifest \(path,label,split\)", error.hint or "")


def test_splits_with_the_same_classes_are_splits_among_other_folders() -> None:
    found = arranged(*labelled("train"), *labelled("val"), "figures/1.png")
    assert found.classes == ("rose", "tulip")
    assert found.skipped == {"figures/1.png": "it is not in a class folder"}


def test_classes_with_the_same_folders_inside_are_refused() -> None:
    error = refusal(*labelled("batch_a"), *labelled("batch_b"), *labelled("more/deep"), "rest/1.jpg")
    assert "'batch_a', 'batch_b' and 'more' hold the same folders: 'rose' and 'tulip'" in error.message
    assert "classes:pets" in (error.hint or "")
    by_class = [f"{name}/{split}/1.jpg" for name in ("cat", "dog") for split in ("train", "test")]
    assert "'cat' and 'dog' hold the same folders" in refusal(*by_class).message
    nested = ("plants/train/rose/1.jpg", "plants/train/tulip/1.jpg", "pets/train/cat/1.jpg", "pets/train/dog/1.jpg")
    assert "'pets' and 'plants' hold the same folders: 'train'" in refusal(*nested).message


@pytest.mark.parametrize(
    "files",
    [
        ("cat/images/1.jpg", "dog/images/2.jpg"),  # as in Tiny ImageNet
        ("cat/train/1.jpg", "dog/train/2.jpg"),
        ("cat/1.jpg", "cat/old/2.jpg", "cat/new/3.jpg", "dog/1.jpg", "dog/old/2.jpg", "dog/new/3.jpg"),
        ("cat/siam/1.jpg", "cat/manx/2.jpg", "dog/pug/3.jpg", "dog/beagle/4.jpg"),
        ("mask/1.jpg", "no mask/2.jpg"),
        ("0/1.jpg", "1/2.jpg"),
    ],
)
def test_plain_classes_are_not_refused(files: tuple[str, ...]) -> None:
    assert len(arranged(*files).classes) == 2


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (("images/1.jpg", "images/2.jpg"), ("labels",)),
        (("images/1.jpg", "masks/1.png"), ()),
        (("train/images/1.jpg", "train/masks/1.png", "val/images/1.jpg", "val/masks/1.png"), ()),
        (("images/1.jpg", "imgs2/1.png"), ()),
    ],
)
def test_images_and_annotations_are_refused(files: tuple[str, ...], folders: tuple[str, ...]) -> None:
    assert "are named like images and annotations" in refusal(*files, folders=folders).message


def test_every_folder_is_a_class_if_one_says_so() -> None:
    found = arranged(*labelled("train"), "bus/1.jpg", "test/1.jpg", as_classes=True)
    assert found.classes == ("bus", "test", "train")
    assert found.splits is None


def test_a_lone_split_folder() -> None:
    assert arranged(*labelled("photos/test")).splits == ["test", "test"]
    found = arranged(*labelled("test1/train"), *labelled("test1/val"))  # a folder around splits
    assert found.classes == ("rose", "tulip")
    assert set(found.splits or ()) == {"train", "validation"}


def test_folders_of_runs_are_no_data() -> None:
    run = ("runs/pets-1/plan.json", "runs/pets-1/log.jsonl", "runs/pets-1/figures/roc.png", "cat/runs/a/plan.json")
    found = arranged("cat/1.jpg", "dog/1.jpg", *run, folders=("runs/pets-1", "cat/runs/a/work", "runs/pets-2"))
    assert found.classes == ("cat", "dog")
    assert len(found.rows) == 2
    assert "it is the folder of a run" in refusal("plan.json", "metrics.json", "figures/roc.png").message
    plans = arranged("cat/1.jpg", "plan/1.jpg", "plan/plan.json")  # a plan of something else
    assert plans.classes == ("cat", "plan")


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "__MACOSX", ".Trashes"])
def test_folders_of_the_system_are_no_classes(name: str) -> None:
    found = arranged("cat/1.jpg", "dog/1.jpg", f"{name}/cat/1.jpg", f"dog/{name}/1.jpg/thumb.jpg")
    assert found.classes == ("cat", "dog")
    assert (len(found.rows), found.skipped) == (2, {})


def test_a_hidden_class_folder_is_named() -> None:
    found = arranged("java/1.jpg", "python/1.jpg", ".net/1.jpg", ".net/._1.jpg", "java/.cache/1.jpg", ".DS_Store")
    assert found.classes == ("java", "python")
    assert found.skipped == {".net/1.jpg": "its folder .net is hidden; rename the folder if it is a class"}


def test_images_in_formats_that_are_not_read_are_images() -> None:
    found = arranged("rose/1.HEIC", "rose/2.jpg", "rose/2.nef", "rose/notes.txt", "tulip/1.svg")
    assert found.labels == ["rose", "rose", "tulip"]
    assert found.skipped == {
        "rose/2.nef": "the same image is there in another format",
        "rose/notes.txt": "it does not have the extension of an image",
    }


def test_classes_are_equal_in_any_form_of_accents() -> None:
    composed, decomposed = "m\u00fcsli", "mu\u0308sli"
    found = arranged(f"train/{decomposed}/1.jpg", "train/oats/1.jpg", f"test/{composed}/1.jpg", "test/oats/1.jpg")
    assert found.classes == (composed, "oats")
    assert set(found.labels) == {composed, "oats"}
