"""What a file is by its first bytes, for messages about images that cannot be read; a name can be wrong."""

from __future__ import annotations

from typing import Literal

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"})
_VIDEO_BRANDS = frozenset({b"isom", b"iso2", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"3gp4"})
_RAW = "a camera raw file"
_NEW_SUBFILE_TYPE = 254

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (8, b"CR\x02\0", _RAW),
    (0, b"FUJIFILMCCD-RAW", _RAW),
    (0, b"IIRO", _RAW),
    (0, b"IIRS", _RAW),
    (0, b"MMOR", _RAW),
    (0, b"IIU\0", _RAW),
    (0, b"FOVb", _RAW),
    (0, b"\0MRM", _RAW),
    (6, b"HEAPCCDR", _RAW),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"qoif", "QOI"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"\0\0\1\0", "a Windows icon"),
    (0, b"icns", "an Apple icon"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (128, b"DICM", "DICOM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"\x89HDF\r\n", "HDF5"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"MATLAB 5.0", "a MATLAB file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the image with git lfs pull"),
)


def file_format(data: bytes) -> str | None:
    """What a file is that is not an image in a format that is read.

    Args:
        data: The file, or its first kilobyte.

    Returns:
        Words that follow "the file is", such as ``"JPEG XL"``; None if the format is unknown.

    Example:
        >>> file_format(bytes([255, 10, 0])), file_format(b"<!DOCTYPE html><html>"), file_format(b"none")
        ('JPEG XL', 'an HTML page', None)
    """
    for offset, signature, name in _SIGNATURES:
        if data.startswith(signature, offset):
            return name
    if data[4:8] == b"ftyp":
        return _of_boxes(data)
    return _of_text(data)


def _of_boxes(data: bytes) -> str | None:
    """A format of the ISO base media file format, told by its brands."""
    size = min(int.from_bytes(data[:4], "big"), 1024)
    brands = {data[start : start + 4] for start in (8, *range(16, size, 4))}
    if b"crx " in brands:
        return _RAW
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    return "a video (MP4)" if brands & _VIDEO_BRANDS else None


def is_preview(data: bytes) -> bool:
    """Whether the first image of a TIFF is a reduced version of another one, as in camera raw files (DNG, NEF, ARW).

    Args:
        data: The file.
    """
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    start = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[start : start + 2], order)
    for entry in range(start + 2, start + 2 + 12 * min(count, 64), 12):
        if int.from_bytes(data[entry : entry + 2], order) == _NEW_SUBFILE_TYPE:
            return bool(int.from_bytes(data[entry + 8 : entry + 12], order) & 1)
    return False


def _of_text(data: bytes) -> str | None:
    begin = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if begin.startswith((b"<?xml", b"<svg", b"<!doctype svg")):
        return "SVG, a drawing" if b"<svg" in begin else "XML"
    return None
