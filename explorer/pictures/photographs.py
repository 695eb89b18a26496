"""Naming an image: a file, its bytes, or one of the bundled examples."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from explorer import files
from explorer.pictures import crops, examples, images
from explorer.pictures.crops import MARK, Cropping
from explorer.pictures.examples import EXAMPLES, Example
from explorer.types import ExplorerError, ImageInput

EXAMPLE = "example:"
"""`example:chelsea.png` names a bundled photograph wherever a file can be named."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """An image by its name; its bytes are read when asked for, so that a long list costs nothing."""

    name: str
    """What a person would type to name it, without folders."""
    title: str
    read: Callable[[], bytes]
    crop: Cropping | None = None
    """What is made of it before a model sees it; the name says so, too."""

    @property
    def image(self) -> ImageInput:
        """The decoded image, cropped; who keeps it decoded gives that one."""
        image = images.decode(self.read())
        return self.crop.of(image) if self.crop else image

    def open(self) -> ImageInput:
        """The same. Raises `ExplorerError` naming it when it cannot be read or is no image."""
        try:
            return self.image
        except ExplorerError as error:
            message = str(error)
            raise ExplorerError(message if self.name in message else f"{self.name}: {message}") from error


AnyPhotograph = TypeVar("AnyPhotograph", bound=Photograph)


def photograph(source: str | Path | bytes | Example | Photograph) -> Photograph:
    """The image that `source` names: a file, its bytes, an example or `example:` and its file's name.

    `#squash` or `#top,left,bottom,right` behind a name crops it, unless a file is called so.
    """
    if isinstance(source, Photograph):
        return source
    if isinstance(source, str):
        name, crop = crops.of_name(source)
        if crop and not os.path.exists(source):
            return cropped(photograph(name), crop)
    if isinstance(source, bytes):
        return Photograph("image", "An image", lambda: source)
    if isinstance(source, Example):
        return Photograph(EXAMPLE + source.file, source.name, partial(examples.read, source))
    if str(source).startswith(EXAMPLE):
        return photograph(_example(str(source).removeprefix(EXAMPLE)))
    path = Path(source)
    name = path.name.encode(errors="replace").decode()  # a name that is no Unicode can be written to no file
    return Photograph(name, name, partial(_read, path))


def cropped(photo: AnyPhotograph, crop: Cropping) -> AnyPhotograph:
    """The same image under another frame, which its name and its title say."""
    return replace(photo, name=f"{photo.name}{MARK}{crop}", title=f"{photo.title}, {crop.words}", crop=crop)


def _example(file: str) -> Example:
    for example in EXAMPLES:
        if example.file == file:
            return example
    known = ", ".join(EXAMPLE + example.file for example in EXAMPLES)
    raise ExplorerError(f"One of {known} was expected; {EXAMPLE}{file[:60]} came.")


def _read(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise ExplorerError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a NUL in the name
        raise ExplorerError(f"The name of a file was expected; {str(path)[:60]!r} came.") from error
