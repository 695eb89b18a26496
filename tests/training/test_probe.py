"""The head that training begins with is the optimum of a penalised logistic regression on the start's own features."""

import numpy as np
import pytest
import torch
from scipy.optimize import check_grad, minimize
from scipy.special import log_softmax

from explorer.models import registry
from explorer.models.classes import ClassName
from explorer.training import probe
from explorer.training.batches import Batches
from explorer.training.data import Dataset
from explorer.training.recipe import Recipe
from explorer.training.run import evaluate
from explorer.types import Preprocessing
from tests.helpers import normal, quadratics


def test_it_is_the_optimum_that_scipy_reaches() -> None:
    features, labels = normal(60, 4, seed=1).float() * torch.tensor([1.0, 3.0, 0.2, 1.0]) + 2, torch.arange(60) % 3
    features[:, 0] += labels
    smoothing, classes = 0.1, 3
    weight, bias = probe._logistic(features, labels, classes, smoothing)
    x = (features.double().numpy() - features.double().numpy().mean(0)) / features.double().numpy().std(0, ddof=1)
    target = np.full((60, classes), smoothing / classes)
    target[np.arange(60), labels.numpy()] += 1 - smoothing

    def loss(flat: np.ndarray) -> float:
        w, b = flat[:12].reshape(3, 4), flat[12:]
        return float(-(target * log_softmax(x @ w.T + b, axis=1)).sum(1).mean() + 0.3 * (w**2).sum() / classes)

    def gradient(flat: np.ndarray) -> np.ndarray:
        w, b = flat[:12].reshape(3, 4), flat[12:]
        error = (np.exp(log_softmax(x @ w.T + b, axis=1)) - target) / 60
        return np.concatenate([(error.T @ x + 0.6 * w / classes).ravel(), error.sum(0)])

    assert check_grad(loss, gradient, np.linspace(-1, 1, 15)) < 1e-6
    best = minimize(loss, np.zeros(15), jac=gradient, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14})
    expected = x @ best.x[:12].reshape(3, 4).T + best.x[12:]
    reached = (features @ weight.T + bias).double().numpy()
    np.testing.assert_allclose(reached, expected, atol=2e-3)


def test_a_constant_feature_is_no_trouble() -> None:
    features = torch.cat([normal(20, 2).float(), torch.ones(20, 1)], dim=1)
    weight, bias = probe._logistic(features, torch.arange(20) % 2, 2, 0.0)
    assert weight.isfinite().all()
    assert bias.isfinite().all()


@pytest.mark.parametrize("each", [1, 3, 100])
def test_so_many_images_of_each_class_are_drawn(each: int) -> None:
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 5)
    chosen = probe._draw(labels, each, seed=0)
    assert len(chosen.unique()) == len(chosen)
    assert torch.bincount(labels[chosen]).tolist() == [min(each, count) for count in (7, 2, 5)]


def test_the_images_drawn_are_not_those_of_the_first_batches() -> None:
    """Else the first losses of training would be of images the head was fitted on, and rise when others come."""
    labels = torch.arange(1000) % 10
    data = Dataset(torch.zeros(1000, 3, 2, 2, dtype=torch.uint8), labels, tuple(ClassName(c, c) for c in "abcdefghij"))
    batches = Batches(data, Recipe("any", batch_size=100), Preprocessing((2, 2), (0.0,) * 3, (1.0,) * 3))
    drawn = set(probe._draw(labels, 10, batches.recipe.seed).tolist())
    assert len(drawn & set(batches.positions(0).tolist())) < 25  # 10 by chance, and 100 in the same order


def test_the_probed_model_tells_plain_colours_apart(tiny: str) -> None:
    """End to end: under the standard operator, at the first size."""
    colours = torch.tensor([[230, 20, 20], [20, 230, 20], [20, 20, 230]], dtype=torch.uint8)
    labels = torch.arange(30) % 3
    noise = torch.randint(0, 20, (30, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Dataset(colours[labels][:, :, None, None] + noise, labels, tuple(ClassName(c, c) for c in "rgb"))
    preprocessing = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3)
    recipe = Recipe(tiny, sizes=((0.0, 16),), probe=6)
    state = probe.probed({}, recipe, data, preprocessing)
    model = registry.create(tiny, 3, quadratics(1.0, 1.0), dynamic_img_size=True).eval()
    model.load_state_dict(state)
    assert evaluate(model, data, preprocessing, 16)[1] == 100.0
