"""Labelled images: which are found, which are left out and said, and what a server's operator offers."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from explorer.models import load
from explorer.pictures import labelled
from explorer.pictures.labelled import File, classes_of, decoded, from_paths, in_folders, listing, offered
from explorer.types import ExplorerError
from tests.helpers import CLASSES, assert_one_sentence, picture, write_class_list, write_folder, write_parquet


@pytest.fixture
def classes(checkpoint: Path) -> labelled.Classes:
    card = load(checkpoint).card
    return classes_of([card, card])


def files(*paths: str) -> list[File]:
    return [File(path, f"digest of {path}", lambda: b"") for path in paths]


def offer(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setenv(labelled.VARIABLE, os.pathsep.join(map(str, folders)))


def test_sub_folders_are_classes_by_id_name_or_number(classes: labelled.Classes) -> None:
    found = in_folders(files("d/n1/a.png", "d/cat/b.JPG", "d/4/c.png", "owl/d.png", "d/hen/deep/e.png"), classes)
    assert [item.labels for item in found.items] == [(1, 1), (0, 0), (4, 4), (4, 4), (3, 3)]
    assert found.problems == ()


def test_what_is_no_class_is_said_and_what_is_no_image_is_not(classes: labelled.Classes) -> None:
    paths = ("d/cat/a.png", "d/unicorn/a.png", "d/unicorn/b.png", "d/c.png", "d/.hidden/a.png", "d/cat/notes.txt")
    found = in_folders(files(*paths), classes)
    assert [item.name for item in found.items] == ["d/cat/a.png"]
    (problem,) = found.problems
    assert_one_sentence(problem)
    assert "unicorn" in problem
    assert "(3 images)" in problem


def test_a_class_that_only_one_model_has_is_left_out(checkpoint: Path) -> None:
    card = load(checkpoint).card
    other = replace(card, wnids=("n4", "n3"), classes=("owl", "hen"))
    found = in_folders(files("d/owl/a.png", "d/cat/a.png"), classes_of([card, other]))
    assert [item.labels for item in found.items] == [(4, 0)]


def test_fewer_images_are_a_part_of_more_in_the_same_order(classes: labelled.Classes) -> None:
    whole = in_folders(files(*(f"d/{name}/{i}.png" for name in CLASSES for i in range(8))), classes)
    few, more = ([item.name for item in whole.at_most(count).items] for count in (5, 20))
    everything = [item.name for item in whole.items]
    assert few == [name for name in everything if name in few]
    assert set(few) < set(more) < set(everything)
    assert whole.at_most(100).digest == whole.digest != whole.at_most(5).digest


def test_folders_and_parquet_files_are_offered_by_name(
    tmp_path: Path, classes: labelled.Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "photos", CLASSES, each=2)
    tables = tmp_path / "tables"
    tables.mkdir()
    write_parquet(tables / "val.parquet", [0, 4, 9])
    write_class_list(tables / "classes.tsv", 5)
    offer(monkeypatch, folder, tables)
    assert offered() == {"photos": folder, "tables/val.parquet": tables / "val.parquet"}
    found = listing(offered()["photos"], classes)
    assert [item.name for item in found.items][:2] == ["photos/cat/0.png", "photos/cat/1.png"]
    assert found.items[0].read() == (folder / "cat" / "0.png").read_bytes()
    rows = listing(offered()["tables/val.parquet"], classes)
    assert [(item.name, item.labels) for item in rows.items] == [("val.parquet:0", (0, 0)), ("val.parquet:1", (4, 4))]
    assert "label 9" in rows.problems[0]
    table = pq.read_table(tables / "val.parquet")
    assert [item.read() for item in rows.items] == table["image"].to_pylist()[:2]


def test_rows_of_every_row_group_are_found(tmp_path: Path, classes: labelled.Classes) -> None:
    path = write_parquet(tmp_path / "val.parquet", [0, 1, 2, 3, 4])
    write_class_list(tmp_path / "classes.tsv", 5)
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=2)
    rows = listing(path, classes).items
    assert [rows[i].read() for i in (4, 0, 3)] == [table["image"][i].as_py() for i in (4, 0, 3)]


def test_two_files_of_one_name_and_time_have_digests_of_their_own(tmp_path: Path, classes: labelled.Classes) -> None:
    """Or one's cached results would be shown for the other."""
    found = []
    for name, labels in (("one", [0, 1]), ("two", [1, 0]), ("copy", [0, 1])):
        folder = tmp_path / name / "photos"
        write_folder(folder, ("cat",), each=1)
        write_class_list(folder / "classes.tsv", 5)
        write_parquet(folder / "val.parquet", labels)
        if name == "two":  # other pixels
            picture(77).save(folder / "cat" / "0.png")
            table = pq.read_table(folder / "val.parquet")
            pq.write_table(table.set_column(0, "image", table["image"].take([1, 0])), folder / "val.parquet")
        for file in (folder / "val.parquet", folder / "cat" / "0.png"):
            os.utime(file, (1, 1))
        found.append([listing(path, classes) for path in (folder / "val.parquet", folder)])
    one, two, copy = found
    for a, b, c in zip(one, two, copy, strict=True):
        assert [item.name for item in a.items] == [item.name for item in b.items]
        assert all(first.digest != second.digest for first, second in zip(a.items, b.items, strict=True))
        assert a.digest == c.digest != b.digest
        assert [item.digest for item in a.items] == [hashlib.sha256(item.read()).hexdigest() for item in a.items]


def test_what_disappears_has_no_digest_and_is_named(tmp_path: Path, classes: labelled.Classes) -> None:
    folder = write_folder(tmp_path / "photos", CLASSES[:2], each=1)
    (folder / "dog" / "bad.png").write_bytes(b"no image")
    found = listing(folder, classes)
    (folder / "cat" / "0.png").unlink()
    assert found.items[0].digest == ""
    broken: list[str] = []
    assert [item.name for item, _ in decoded(found.items, broken.append)] == ["photos/dog/0.png"]
    assert [one.split(":")[0] for one in broken] == ["photos/cat/0.png", "photos/dog/bad.png"]


def test_a_name_of_two_classes_is_said_and_left_out(checkpoint: Path) -> None:
    card = replace(load(checkpoint).card, classes=("crane", "dog", "Crane", "hen", "owl"))
    found = in_folders(files("d/crane/a.png", "d/n2/b.png"), classes_of([card]))
    assert [item.labels for item in found.items] == [(2,)]
    assert "crane (1 images)" in found.problems[0]


def test_numbered_folders_are_the_numbers_of_unnamed_classes(checkpoint: Path, tmp_path: Path) -> None:
    """10 is not the class between 1 and 2, where sorting by letters puts it."""
    unnamed = replace(load(checkpoint).card, wnids=(), classes=(), outputs=11)
    folder = write_folder(tmp_path / "photos", ("0", "1", "2", "10", "cat"), each=1)
    found = from_paths([folder], [unnamed])
    assert {Path(item.name).parent.name: item.labels for item in found.items} == {
        "0": (0,), "1": (1,), "2": (2,), "10": (10,),
    }  # fmt: skip
    assert "cat (1 images)" in found.problems[0]
    rows = from_paths(
        [write_parquet(tmp_path / "val.parquet", [2, 0])], [unnamed], write_class_list(tmp_path / "list.tsv", 3)
    )
    assert [item.labels for item in rows.items] == [(2,), (0,)]


def test_the_shell_follows_links_to_files_and_to_folders_of_classes(checkpoint: Path, tmp_path: Path) -> None:
    card = load(checkpoint).card
    outside = write_folder(tmp_path / "outside", CLASSES[:2], each=1)
    folder = write_folder(tmp_path / "photos", ("fox",), each=1)
    (folder / "cat").symlink_to(outside / "cat")
    (folder / "fox" / "link.png").symlink_to(outside / "dog" / "0.png")
    (folder / "fox" / "circle").symlink_to(folder)
    found = from_paths([folder], [card]).items
    assert [item.name for item in found] == ["photos/cat/0.png", "photos/fox/0.png", "photos/fox/link.png"]


def test_several_paths_follow_each_other_and_need_names_of_their_own(checkpoint: Path, tmp_path: Path) -> None:
    card = load(checkpoint).card
    classes = write_class_list(tmp_path / "classes.tsv", 5)
    paths = [write_parquet(tmp_path / f"{i}.parquet", [i, 4]) for i in range(2)]
    found = from_paths(paths, [card, card], classes).items
    assert [item.labels for item in found] == [(0, 0), (4, 4), (1, 1), (4, 4)]
    assert from_paths(paths, [card]).items[0].labels == (0,)  # by the list beside them
    other = write_folder(tmp_path / "other", ("unicorn",))
    for wrong in ([paths[0], paths[0]], [tmp_path / "nowhere"], [other], [tmp_path / "other" / "unicorn"]):
        with pytest.raises(ExplorerError) as caught:
            from_paths(wrong, [card])
        assert_one_sentence(str(caught.value).replace(".parquet", ""))
    classes.unlink()
    with pytest.raises(ExplorerError, match="class list"):
        from_paths(paths, [card])


def test_links_that_lead_out_are_left_out(
    tmp_path: Path, classes: labelled.Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outside = (write_folder(tmp_path / name, CLASSES[:1], each=1) for name in ("photos", "outside"))
    (folder / "cat" / "link.png").symlink_to(outside / "cat" / "0.png")
    (folder / "dog").symlink_to(outside / "cat")
    (folder / "cat" / "inside.png").symlink_to(folder / "cat" / "0.png")
    write_class_list(folder / "classes.tsv", 5)
    write_parquet(outside / "val.parquet", [0])
    (folder / "val.parquet").symlink_to(outside / "val.parquet")
    offer(monkeypatch, folder)
    assert list(offered()) == ["photos"]
    assert [item.name for item in listing(folder, classes).items] == ["photos/cat/0.png", "photos/cat/inside.png"]


def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, classes: labelled.Classes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered() == {}
    offer(monkeypatch, tmp_path / "nowhere")
    with pytest.raises(ExplorerError, match="EXPLORER_DATA") as caught:
        offered()
    assert_one_sentence(str(caught.value))
    assert str(tmp_path) not in str(caught.value)
    write_class_list(tmp_path / "classes.tsv", 5)
    (tmp_path / "bad.parquet").write_bytes(b"no")
    pq.write_table(pa.table({"image": ["text"], "label": [0]}), tmp_path / "text.parquet")
    for read in (
        lambda: listing(tmp_path / "bad.parquet", classes),
        lambda: listing(tmp_path / "text.parquet", classes).items[0].read(),
    ):
        with pytest.raises(ExplorerError, match=r"\.parquet") as caught:
            read()
        assert_one_sentence(str(caught.value).replace(".parquet", ""))
