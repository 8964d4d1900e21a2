"""Archives and tables whose headers lie: every one is an error that names it, at once and in little memory."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from striate.core.errors import DataError, ImageError
from striate.data.index import scan

NEGATIVE = b"\xff" * 8 + b"\xff\xff\xfe\x00"  # -512 in base 256
HUGE = b"\x80" + b"\0" * 5 + b"\xff" * 6


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 7)).save(stream, "PNG")
    return stream.getvalue()


def header(name: bytes, size: bytes | int, kind: bytes = b"0") -> bytes:
    digits = b"%011o\0" % size if isinstance(size, int) else size
    block = bytearray(name.ljust(100, b"\0") + b"0000644\0" * 3 + digits + b"0" * 11 + b"\0" + b" " * 8 + kind)
    block += bytes(100) + b"ustar\x0000" + bytes(512 - 265)
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes, data: bytes = b"", kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + padded(data)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    text = b""
    for record in records:
        length = len(record) + 4
        text += b"%d %s\n" % (length if length > 9 else length - 1, record)
    return member(b"pax", text, kind)


PETS = member(b"cat/1.png", png(1)) + member(b"dog/1.png", png(2))
END = bytes(1024)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PETS + header(b"dog/2.png", NEGATIVE), "negative or implausible"),
        (PETS + header(b"long", NEGATIVE, b"L"), "negative or implausible"),
        (PETS + header(b"pax", NEGATIVE, b"x"), "negative or implausible"),
        (PETS + header(b"dog", NEGATIVE, b"5"), "negative or implausible"),
        (PETS + header(b"dog/2.png", HUGE), "cut short"),
        (PETS + header(b"pax", HUGE, b"x"), "cut short"),
        (PETS + header(b"dog/2.png", b"12x\0" + bytes(8)), "in place of a number"),
        (PETS + pax(b"size=-512") + member(b"dog/2.png", png(3)), "in place of a size"),
        (PETS + pax(b"size=zzz") + member(b"dog/2.png", png(3)), "in place of a size"),
        (PETS + pax(b"size=99999999") + member(b"dog/2.png", png(3)), "cut short"),
        (PETS + pax(b"size=1", kind=b"g") + member(b"dog/2.png", png(3)), "global header"),
        (PETS + member(b"pax", b"9" * 4000, b"x") + member(b"dog/2.png"), "extended header is damaged"),
        (PETS + member(b"pax", bytes(2 << 20), b"x") + member(b"dog/2.png"), "larger than"),
        (PETS + pax(b"path=dog/2.png"), "belongs to a further member"),
        (PETS + pax(b"GNU.sparse.size=9") + member(b"dog/2.png", png(3)), "sparse file"),
        (PETS + member(b"dog/\xff\xfe.png", png(3)), "not UTF-8"),
        (PETS + pax(b"path=../../x.png") + member(b"dog/2.png", png(3)), "would leave it"),
        (PETS + b"x" * 512 + member(b"dog/2.png", png(3)), "in place of a number"),  # not a shorter archive
        (PETS + b"x" * 100 + b"0" * 100 + member(b"dog/2.png")[200:] + bytes(512), "damaged or is none"),
        (PETS + member(b"dog/2.png", png(3))[:-512], "cut short"),
        (member(b"cat/1.png", png(1)) * 2, "two members called"),
    ],
)
def test_tars_whose_headers_lie(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(content if message == "cut short" else content + END)
    with pytest.raises(DataError, match=message) as caught:
        scan(path)
    assert str(path) in caught.value.message


def test_a_long_chain_of_headers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(member(b"cat/1.png", png(1)) + pax(b"mtime=1") * 3000 + member(b"dog/1.png", png(2)) + END)
    assert list(scan(path).names) == ["cat/1.png", "dog/1.png"]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["dog/müsli.png", f"{'d' * 90}/{'x' * 80}.png", f"dog/{'ü' * 60}.png"])
def test_names_in_every_format_of_tar(tmp_path: Path, form: int, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as made:
        folder = tarfile.TarInfo("cat")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for place, each in enumerate(("cat/1.png", name)):
            info = tarfile.TarInfo(each)
            info.size = len(png(place))
            try:
                made.addfile(info, io.BytesIO(png(place)))
            except ValueError:
                pytest.skip("the name is too long for this format")
    index = scan(tmp_path / "x.tar")
    assert set(index.names) == {"cat/1.png", name}
    assert index.read(list(index.names).index(name)) == png(1)


def test_compressed_tars_are_told_by_their_content(tmp_path: Path) -> None:
    content = PETS + END
    halves = gzip.compress(content[:1500]) + gzip.compress(content[1500:])  # as pigz and bgzip write
    for name, data in (
        ("plain.tar.gz", content),
        ("packed.tar", gzip.compress(content)),
        ("two.tgz", halves),
        ("xz.tar", lzma.compress(content)),
        ("two.tar.xz", lzma.compress(content[:1500]) + bytes(4) + lzma.compress(content[1500:])),
    ):
        (tmp_path / name).write_bytes(data)
        index = scan(tmp_path / name)
        assert [index.read(i) for i in range(2)] == [png(1), png(2)]
    for name, data in (
        ("cut.tgz", halves[:-20]),
        ("cut.tar.xz", lzma.compress(content)[:-20]),
        ("junk.tgz", halves + b"x"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=rf"{name} cannot be read as a compressed tar archive"):
            scan(tmp_path / name)


def test_an_xz_stream_that_asks_for_much_memory(tmp_path: Path) -> None:
    packed = bytearray(lzma.compress(PETS + END, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]))
    packed[packed.index(b"\x21\x01", 12) + 2] = 36  # the property of LZMA2 for a dictionary of 1 GiB
    packed[20:24] = struct.pack("<I", zlib.crc32(bytes(packed[12:20])))
    (tmp_path / "x.tar.xz").write_bytes(bytes(packed))
    with pytest.raises(DataError, match=r"[Mm]emory usage limit"):
        scan(tmp_path / "x.tar.xz")


def zipped(path: Path) -> bytearray:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("cat/1.png", png(1))
        made.writestr("dog/1.png", png(2))
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (0, b"PK\x01\x03", "directory is damaged"),
        (10, b"\x63\0", "unsupported method"),
        (20, b"\xff\xff\xff\x0f", "is not inside"),  # the packed size
        (42, b"\xff\xff\xff\x0f", "is not inside"),  # where the member begins
        (24, b"\xff\xff\xff\x7f", "decompression bomb"),  # the size
        (28, b"\xff\xff", "directory is cut short"),  # the length of the name
        (20, b"\xff" * 4, "size is missing or implausible"),  # it says that the size is in an extra field
    ],
)
def test_zips_whose_headers_lie(tmp_path: Path, offset: int, value: bytes, message: str) -> None:
    content = zipped(tmp_path / "x.zip")
    start = content.index(b"PK\x01\x02") + offset
    content[start : start + len(value)] = value
    (tmp_path / "x.zip").write_bytes(bytes(content))
    with pytest.raises(DataError, match=message):
        scan(tmp_path / "x.zip")


def test_a_zip_that_lies_about_a_size_has_an_unreadable_image(tmp_path: Path) -> None:
    content = zipped(tmp_path / "x.zip")
    start = content.index(b"PK\x01\x02") + 24
    content[start : start + 4] = b"\0\0\0\x10"
    (tmp_path / "x.zip").write_bytes(bytes(content))
    index = scan(tmp_path / "x.zip")
    with pytest.raises(ImageError, match="damaged inside the archive"):
        index.read(0)
    assert index.read(1) == png(2)


def test_zips_of_every_form(tmp_path: Path) -> None:
    content = bytes(zipped(tmp_path / "x.zip"))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    large = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, end - start, start)
    large += struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    unknown = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    comment = content[:-2] + struct.pack("<H", 9) + b"PK\x05\x06 pets"[:9]
    for name, data in (
        ("sixty-four.zip", content[:end] + large + unknown),
        ("program.zip", b"MZ" + bytes(999) + content),  # a program that unpacks itself
        ("comment.zip", comment),
    ):
        (tmp_path / name).write_bytes(data)
        index = scan(tmp_path / name)
        assert list(index.names) == ["cat/1.png", "dog/1.png"]
        assert [index.read(i) for i in range(2)] == [png(1), png(2)]
    for name, data in (("part.zip", content[: end + 4] + b"\1" + content[end + 5 :]), ("cut.zip", content[start:])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=r"one of several parts|cut short"):
            scan(tmp_path / name)


def test_sizes_in_the_extra_field_of_a_zip(tmp_path: Path) -> None:
    content = bytes(zipped(tmp_path / "x.zip"))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    first = bytearray(content[start : start + 46 + len("cat/1.png")])
    sizes = struct.pack("<HHQQ", 1, 16, len(png(1)), len(png(1)))
    first[20:28] = b"\xff" * 8
    first[30:32] = struct.pack("<H", len(sizes))
    rest = content[start + len(first) : end]
    ending = bytearray(content[end:])
    ending[12:16] = struct.pack("<L", end - start + len(sizes))
    (tmp_path / "x.zip").write_bytes(content[:start] + bytes(first) + sizes + rest + bytes(ending))
    index = scan(tmp_path / "x.zip")
    assert [index.read(i) for i in range(2)] == [png(1), png(2)]


def test_names_in_zips(tmp_path: Path) -> None:
    content = zipped(tmp_path / "x.zip")
    (tmp_path / "nul.zip").write_bytes(bytes(content).replace(b"dog/1.png", b"dog/\0.png"))
    with pytest.raises(DataError, match="would leave it"):
        scan(tmp_path / "nul.zip")
    plain = bytes(content).replace(b"dog/1.png", "dö/1.png".encode())  # UTF-8 that the zip does not declare
    (tmp_path / "utf8.zip").write_bytes(plain)
    assert list(scan(tmp_path / "utf8.zip").names) == ["cat/1.png", "dö/1.png"]


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip", "x.csv", "x.parquet"])
def test_only_regular_files_are_opened(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"x.* is a named pipe, not a regular file"):
        scan(tmp_path / name)


def test_parquet_files_that_would_fill_memory(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = pyarrow.DictionaryArray.from_arrays(pyarrow.nulls(1_200_000, "int32").fill_null(0), ["cat/1.png"])
    parquet.write_table(pyarrow.table({"path": rows, "label": rows}), tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 100_000
    with pytest.raises(DataError, match="would unpack to 1,200,000 rows"):
        scan(tmp_path / "rows.parquet")
    wide = pyarrow.DictionaryArray.from_arrays(pyarrow.nulls(1000, "int32").fill_null(0), ["x" * (2 << 20)])
    parquet.write_table(pyarrow.table({"path": wide, "label": wide}), tmp_path / "wide.parquet")
    with pytest.raises(DataError, match="has a cell of 2,097,152 characters"):
        scan(tmp_path / "wide.parquet")


def test_columns_of_parquet_files_that_are_not_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "1.png").write_bytes(png(1))
    table = pyarrow.table({"path": ["1.png"], "label": [{"name": "cat"}], "bytes": [png(1)]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"1 columns that are not text: label \(struct<name: string>\)"):
        scan(tmp_path / "x.parquet")


def test_csv_files_with_endless_lines(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("path,label\n" + "x" * (1 << 21))
    with pytest.raises(DataError, match="has a line of 1,048,576 characters or more"):
        scan(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text('path,label\n"' + "x\n" * (1 << 20))
    with pytest.raises(DataError, match="cannot be read as CSV"):
        scan(tmp_path / "y.csv")


@pytest.mark.parametrize("line", ["path,label,label", "Path,PATH,label"])
def test_repeated_columns(tmp_path: Path, line: str) -> None:
    (tmp_path / "1.png").write_bytes(png(1))
    (tmp_path / "x.csv").write_text(f"{line}\n1.png,cat,dog\n")
    with pytest.raises(DataError, match=r"1 repeated columns: (label|path)"):
        scan(tmp_path / "x.csv")


def test_one_file_under_two_paths(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(png(1))
    (tmp_path / "x.csv").write_text("path,label\na/1.png,cat\na/../a/1.png,dog\n")
    with pytest.raises(DataError, match="1 repeated paths: "):
        scan(tmp_path / "x.csv")


def test_names_that_are_too_long(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"path,label\n{'x' * 300},cat\n")
    with pytest.raises(DataError, match="1 paths without a file"):
        scan(tmp_path / "x.csv")
    with pytest.raises(DataError, match="cannot be read"):
        scan(tmp_path / ("x" * 300))
