"""What a disturbance changes is refused for a model that has no answer to change."""

from dataclasses import replace

import numpy as np
import pytest

from explorer.disturb.corruptions import Corruption
from explorer.disturb.effects import Choice, effects
from explorer.models import LoadedModel
from explorer.types import ExplorerError
from tests.helpers import assert_one_sentence


@pytest.mark.parametrize("classes", [0, 1])
def test_a_model_without_classes_is_refused(
    loaded: LoadedModel, views: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    monkeypatch.setattr(loaded.module, "num_classes", classes)
    bare = replace(loaded, card=replace(loaded.card, name="Bare"))
    with pytest.raises(ExplorerError, match=f"Bare has {classes}") as caught:
        effects(bare, views[0], Choice(Corruption.JPEG, 1.0), (1.0,))
    assert_one_sentence(str(caught.value))
