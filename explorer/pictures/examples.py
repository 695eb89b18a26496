"""A few photographs to start with; they come with the scikit-image package, so that none has to be downloaded.

Credits and terms: scikit-image, `skimage/data/_fetchers.py` (https://scikit-image.org/docs/stable/api/skimage.data.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from explorer.pictures import images
from explorer.types import ExplorerError, ImageInput


@dataclass(frozen=True)
class Example:
    """A photograph: the title shown, its file in `skimage/data`, whose it is, and the ImageNet class it shows.

    The class was chosen by looking at the picture, it is no label of a data set; `None` where none fits.
    """

    name: str
    file: str
    credit: str
    wnid: str | None
    class_name: str | None


EXAMPLES = (
    Example(
        "Espresso in a red cup on a wooden table",
        "coffee.png",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0",
        "n07920052",
        "espresso",
    ),
    Example(
        "Tabby cat, face close up",
        "chelsea.png",
        "Stéfan van der Walt, CC0",
        "n02124075",
        "Egyptian cat",
    ),
    Example(
        "Falcon 9 rocket on its launch pad at dusk",
        "rocket.jpg",
        "SpaceX, public domain",
        "n04008634",
        "projectile",
    ),
    Example(
        "Astronaut Eileen Collins with flag and shuttle model",
        "astronaut.png",
        "NASA, public domain",
        None,
        None,
    ),
    Example(
        "Photographer behind a camera on a tripod",
        "camera.png",
        "Lav Varshney, CC0",
        None,
        None,
    ),
    Example(
        "Galaxies in the Hubble eXtreme Deep Field",
        "hubble_deep_field.jpg",
        "NASA, public domain (HubbleSite 2012-37)",
        None,
        None,
    ),
)


def read(example: Example) -> bytes:
    """The bytes of the file; raises `ExplorerError` when scikit-image or the file in it is missing."""
    package = find_spec("skimage")  # finds the folder and imports nothing: importing skimage takes far longer
    if package is None or not package.submodule_search_locations:
        raise ExplorerError("The examples are part of the scikit-image package, which is not installed.")
    try:
        return (Path(package.submodule_search_locations[0]) / "data" / example.file).read_bytes()
    except OSError as error:
        raise ExplorerError(f"{example.file} was expected among scikit-image's data; it could not be read.") from error


def load(example: Example) -> ImageInput:
    """The photograph, decoded like an upload."""
    return images.decode(read(example))
