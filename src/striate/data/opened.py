"""Image files opened: what a header says, before any pixel is decoded."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar, final

import numpy as np
from PIL import Image, TiffImagePlugin

from striate.core.errors import ImageError
from striate.core.reading import reading
from striate.data import levels, metadata, sniff
from striate.data.metadata import Metadata

T = TypeVar("T")

# EPS is left out on purpose: Pillow passes it to Ghostscript, which executes it.
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
_NEEDS = {"HEIC": ("HEIF", "pillow-heif (pip install 'striate[heif]')"), "AVIF": ("AVIF", "Pillow 11.3 or later")}

_MAX_READS = 20_000
_FEW_BYTES = 1 << 20
"""A file of fewer bytes takes little time even if it is read byte by byte."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIDEWAYS = (5, 6, 7, 8)

RawImage = bytes | np.ndarray | Image.Image
"""Encoded bytes, uint8 pixels ``[h, w]`` or ``[h, w, 3]``, or a PIL image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """The contents of an image's header.

    Args:
        width: In pixels, as stored, before the EXIF orientation is applied.
        height: In pixels, as stored.
        mode: Pillow's name of the pixel type: ``RGB``, ``L``, ``P``, ``CMYK``, ``I;16``, ...
        format: ``JPEG``, ``PNG``, ...
        bits: Per sample, as a PNG or TIFF stores them; 8 for other formats.
        animated: Whether it has more frames than the first.
        pages: Whether it has more pages than the first.
        orientation: EXIF orientation, 1 (upright) to 8.
        transparent: Whether there is an alpha channel or a transparent colour.
        damaged_metadata: Whether a part of the metadata cannot be read.
    """

    width: int
    height: int
    mode: str
    format: str
    bits: int
    animated: bool
    pages: bool
    orientation: int
    transparent: bool
    damaged_metadata: bool

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in pixels after the EXIF orientation is applied."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def probe(raw: RawImage) -> ImageInfo:
    """Read an image's header. No pixel is decoded, so images of any size are allowed.

    Args:
        raw: As in `decode`; the format of an array is "".

    Raises:
        ImageError: The bytes are not an image in a supported format.
        OutOfMemoryError: There is not enough memory.
    """
    return opened(raw, _info)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedImage:
    """An image whose header was read.

    Args:
        pil: Not decoded yet, unless it was given as a PIL image; that one must not be changed.
        raw: Its encoded bytes; empty for arrays and PIL images.
        metadata: The orientation and more.
        inverted: Whether 0 is white, though `pil` says that it is black.
    """

    pil: Image.Image
    raw: bytes
    metadata: Metadata
    inverted: bool = False

    @property
    def levels(self) -> levels.Levels | None:
        """What the levels of grey of more than 8 bits mean; see `levels.levels`."""
        return levels.levels(self.pil, inverted=self.inverted)


def opened(raw: RawImage, use: Callable[[OpenedImage], T]) -> T:
    """Open an image and use it. If that fails, its metadata may be the reason, and it is tried once more without."""
    try:
        with reading("the file", ImageError, "an image"):
            return use(_open(raw))
    except ImageError as error:
        first = error
    if isinstance(raw, bytes):
        with contextlib.suppress(ImageError), reading("the file", ImageError, "an image"):
            bare = metadata.without(raw)
            if bare is not None:
                return use(OpenedImage(_open_bytes(bare), bare, metadata.find(raw)))
    raise first


def _open(raw: RawImage) -> OpenedImage:
    if isinstance(raw, np.ndarray):
        return OpenedImage(Image.fromarray(raw), b"", Metadata())
    if isinstance(raw, Image.Image):
        return OpenedImage(raw, b"", _metadata(raw))
    try:
        pil = _open_bytes(raw)
    except ImageError:
        plain = levels.black_is_zero(raw)
        pil = None if plain is None else _open_bytes(plain)
        if pil is None or not pil.mode.startswith("I"):
            raise
        return OpenedImage(pil, raw, _metadata(pil), inverted=True)
    return OpenedImage(pil, raw, _metadata(pil, raw))


def _metadata(pil: Image.Image, raw: bytes = b"") -> Metadata:
    info = pil.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    if isinstance(pil, TiffImagePlugin.TiffImageFile):
        return metadata.named(pil.tag_v2.get(metadata.ORIENTATION)) or metadata.read(None, xmp)
    exif = info.get("exif") or metadata.from_png_text(info.get("Raw profile type exif")) or metadata.late_exif(raw)
    return metadata.read(exif, xmp)


def _open_bytes(raw: bytes) -> Image.Image:
    if not raw:
        raise ImageError("the file is empty")
    if sniff.is_preview(raw):
        raise ImageError("the file is a camera raw file, of which only a preview could be read")
    try:
        stream = _CountedReads(raw) if len(raw) > _FEW_BYTES else io.BytesIO(raw)
        return Image.open(stream, formats=_formats())
    except Image.UnidentifiedImageError as error:
        if (found := sniff.file_format(raw)) is not None:
            raise ImageError(_not_read(found)) from error
        if raw[:64].isascii() and b"\0" not in raw[:64]:
            raise ImageError("the file holds text, not an image") from error
        if raw.startswith(_TIFF):
            raise ImageError(
                "the file is a TIFF of a kind that is not supported, or its header is damaged", hint="save it as PNG"
            ) from error
        raise ImageError("the file is not an image in a known format, or its header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"the image is far too large to decode: {error}", hint="resize it first") from error


def _not_read(found: str) -> str:
    """Why a file is not read, from its format."""
    name, needs = _NEEDS.get(found, (None, ""))
    if name is None:
        return f"the file is {found}"
    return f"the file is damaged {found}" if name in _formats() else f"the file is {found}, which needs {needs}"


@final
class _CountedReads(io.BytesIO):
    """Bytes that may be read in a bounded number of steps: Pillow parses headers in Python, a few bytes at a time.

    A GIF takes the most, two steps for every 256 bytes. A file of millions of tiny parts would take minutes.
    """

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._left = _MAX_READS + len(raw) // 100

    def read(self, size: int | None = -1, /) -> bytes:
        """As in `io.BytesIO`.

        Raises:
            ImageError: There were too many steps.
        """
        self._left -= 1
        if self._left < 0:
            raise ImageError("the file is made of too many small parts", hint="save it again")
        return super().read(size)


@functools.cache
def _formats() -> tuple[str, ...]:
    """The supported formats that Pillow can read here; HEIF if pillow-heif is installed."""
    Image.init()
    if find_spec("pillow_heif") is not None:
        import_module("pillow_heif").register_heif_opener()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _info(image: OpenedImage) -> ImageInfo:
    pil, tiff = image.pil, isinstance(image.pil, TiffImagePlugin.TiffImageFile)
    width, height = pil.size
    if isinstance(pil, TiffImagePlugin.TiffImageFile):
        width, height = pil.tag_v2[_TIFF_WIDTH], pil.tag_v2[_TIFF_HEIGHT]  # its size has the orientation applied
    several = bool(getattr(pil, "is_animated", False))
    return ImageInfo(
        width=width,
        height=height,
        mode=pil.mode,
        format=pil.format or "",
        bits=levels.bits(pil, image.raw),
        # The second frame of a phone's MPO or HEIC is a view or a depth map.
        animated=several and not tiff and pil.format not in ("MPO", "HEIF"),
        pages=several and tiff,
        orientation=image.metadata.orientation,
        transparent=transparent(pil),
        damaged_metadata=image.metadata.damaged or metadata.too_long_for_pillow(image.raw),
    )


def transparent(pil_image: Image.Image) -> bool:
    """Whether there is an alpha channel or a transparent colour."""
    return pil_image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in pil_image.info
