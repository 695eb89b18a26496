"""FGSM and PGD: in the ball, in the range, the loss rises, and nobody's random numbers matter."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.disturb.attacks import Attacked, attack, transfer, unit_noise
from explorer.disturb.settings import PAPER_FGSM, PAPER_PGD, Attack, Kind
from explorer.models import LoadedModel
from explorer.models.pixels import as_batch, from_pixels
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import assert_one_sentence

MakeModel = Callable[..., VisionTransformer]

LABELS = [0, 3, 4]
PGD = Attack(Kind.PGD, eps=4 / 255, steps=5, random_start=True)
ATTACKS = [PAPER_FGSM, PGD, replace(PAPER_PGD, steps=6), Attack(Kind.PGD, 8 / 255, 3, 8 / 255)]


@pytest.fixture
def extreme() -> list[np.ndarray]:
    """Pixels at both ends of the range, where the ball leaves it."""
    random = np.random.default_rng(5)
    return [random.choice(np.array([0, 1, 254, 255], np.uint8), (32, 32, 3)) for _ in LABELS]


def gradient(model: LoadedModel, x: Tensor, labels: list[int]) -> Tensor:
    x = x.clone().requires_grad_()
    loss = F.cross_entropy(from_pixels(model)(x), torch.tensor(labels), reduction="sum")
    return torch.autograd.grad(loss, x)[0]


@pytest.mark.parametrize("settings", ATTACKS, ids=str)
def test_inside_the_ball_and_the_range(loaded: LoadedModel, extreme: list[np.ndarray], settings: Attack) -> None:
    found = attack(loaded, extreme, LABELS, settings)
    clean = torch.cat([as_batch(view, loaded) for view in extreme])
    assert torch.equal(found.clean, clean)
    assert float(found.adversarial.min()) >= 0
    assert float(found.adversarial.max()) <= 1
    assert float(found.perturbation.abs().max()) <= settings.eps + 6e-8
    assert float(found.perturbation.abs().max()) > 0.5 * min(settings.eps, settings.steps * settings.step)
    assert torch.equal(found.perturbation, found.adversarial - found.clean)


@pytest.mark.parametrize("settings", [replace(PAPER_FGSM, eps=0.5 / 255), PGD, replace(PGD, random_start=False)])
def test_the_loss_rises(loaded: LoadedModel, views: list[np.ndarray], settings: Attack) -> None:
    found = attack(loaded, views, LABELS, settings)
    assert bool((found.after.loss > found.before.loss).all())
    assert float(found.after.probability(found.labels).sum()) < float(found.before.probability(found.labels).sum())


def test_fgsm_is_its_formula(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    found = attack(loaded, views, LABELS, PAPER_FGSM)
    sign = gradient(loaded, found.clean, LABELS).sign()
    torch.testing.assert_close(found.adversarial, (found.clean + 4 / 255 * sign).clamp(0, 1))


def test_pgd_is_its_formula(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    settings = Attack(Kind.PGD, eps=2 / 255, steps=4, step_size=1 / 255)
    found = attack(loaded, views, LABELS, settings)
    x = found.clean
    for _ in range(4):
        x = x + gradient(loaded, x, LABELS).sign() / 255
        x = (found.clean + (x - found.clean).clamp(-2 / 255, 2 / 255)).clamp(0, 1)
    torch.testing.assert_close(found.adversarial, x)


def test_small_gradients_count(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    """A sure model's gradients are far below the 1e-6 under which Captum drops them."""
    loaded.module.head.weight *= 1e-4
    loaded.module.head.bias[:] = torch.tensor([9.0, 0, 0, 0, 0])
    found = attack(loaded, views, [0, 0, 0], PAPER_FGSM)
    assert float(gradient(loaded, found.clean, [0, 0, 0]).abs().median()) < 1e-6
    assert float(found.perturbation.abs().median()) == pytest.approx(4 / 255, rel=1e-3)


def test_the_seed_and_the_id_alone_decide(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    def run(order: list[int], seed: int = 0) -> dict[int, Tensor]:
        torch.manual_seed(len(order))
        chosen = [views[i] for i in order], [LABELS[i] for i in order], replace(PGD, seed=seed)
        found = attack(loaded, *chosen, ids=[f"image {i}" for i in order])
        return dict(zip(order, found.adversarial, strict=True))

    first = run([0])
    assert torch.equal(first[0], run([0])[0])
    assert not torch.equal(first[0], run([0], seed=1)[0])
    numbers = torch.get_rng_state()
    together, reversed_ = run([0, 1, 2]), run([2, 1, 0])
    torch.manual_seed(1)
    assert torch.equal(numbers, torch.get_rng_state())
    for i in range(3):  # other batches round differently, which may turn the sign of a vanishing gradient
        close = (together[i] - reversed_[i]).abs() < 1e-6
        assert float(close.float().mean()) > 0.99


def test_no_budget_no_change(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    found = attack(loaded, views, LABELS, replace(PGD, eps=0.0))
    assert torch.equal(found.adversarial, found.clean)
    assert torch.equal(found.before.logits, found.after.logits)


def test_without_labels_the_model_is_led_away_from_what_it_said(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    found = attack(loaded, views, None, PGD)
    assert torch.equal(found.labels, found.before.predictions)
    assert bool((found.after.loss > found.before.loss).all())


def test_what_the_model_says_before_and_after(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    found = attack(loaded, views, LABELS, PGD)
    for pixels, answers in ((found.clean, found.before), (found.adversarial, found.after)):
        with torch.no_grad():
            logits = from_pixels(loaded)(pixels)
        torch.testing.assert_close(answers.logits, logits)
        assert torch.equal(answers.predictions, logits.argmax(dim=1))
        torch.testing.assert_close(answers.loss, F.cross_entropy(logits, torch.tensor(LABELS), reduction="none"))


def test_transfer(pair: list[LoadedModel], views: list[np.ndarray]) -> None:
    found = attack(pair[0], views, LABELS, PGD)
    own, other = transfer(pair[0], found), transfer(pair[1], found)
    torch.testing.assert_close(own[0].logits, found.before.logits)
    torch.testing.assert_close(own[1].logits, found.after.logits)
    assert not torch.equal(other[1].logits, own[1].logits)
    with torch.no_grad():
        torch.testing.assert_close(other[1].logits, from_pixels(pair[1])(found.adversarial))


def test_transfer_to_another_number_of_classes_is_refused(
    pair: list[LoadedModel], views: list[np.ndarray], make_model: MakeModel
) -> None:
    module = make_model()
    module.reset_classifier(7)
    with pytest.raises(ExplorerError, match="5 classes was expected; Tiny-Twicing has 7"):
        transfer(LoadedModel(pair[1].card, module), attack(pair[0], views, LABELS, PAPER_FGSM))


def test_normalisation_is_inside(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    """Another declared normalisation is another model, within the same budget of pixels."""
    other = Preprocessing((32, 32), mean=(0.0, 0.0, 0.0), std=(0.01, 1.0, 100.0))
    changed = LoadedModel(replace(loaded.card, preprocessing=other), loaded.module)
    for channel in attack(changed, views, LABELS, PAPER_FGSM).perturbation.unbind(dim=1):
        assert float(channel.abs().max()) == pytest.approx(4 / 255, rel=1e-3)


@pytest.mark.parametrize("settings", [PAPER_FGSM, PGD])
def test_progress_cancel_and_nothing_left(loaded: LoadedModel, views: list[np.ndarray], settings: Attack) -> None:
    told: list[tuple[int, int]] = []
    attack(loaded, views, LABELS, settings, progress=lambda *now: told.append(now))
    steps = 1 if settings.kind is Kind.FGSM else settings.steps
    assert told == [(3 * step, 3 * steps) for step in range(steps + 1)]

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack(loaded, views, LABELS, settings, progress=stop)
    assert torch.is_grad_enabled()
    assert all(p.grad is None and not p.requires_grad for p in loaded.module.parameters())
    assert not any(part._forward_hooks or part._backward_hooks for part in loaded.module.modules())


def test_under_inference_mode(loaded: LoadedModel, make_model: MakeModel, views: list[np.ndarray]) -> None:
    def run() -> Attacked:
        module = make_model().requires_grad_(False)
        return attack(LoadedModel(loaded.card, module), views, LABELS, PGD)

    with torch.inference_mode():
        inside = run()
    assert torch.equal(inside.adversarial, run().adversarial)


def test_the_papers_settings_in_words() -> None:
    assert PAPER_FGSM.sentence() == "FGSM, eps 4/255."
    assert PAPER_PGD.sentence() == "PGD, eps 4/255, 20 steps of 0.15/255 from the image itself."
    assert "seed 0" in PGD.sentence()
    assert Attack(Kind.PGD, 4 / 255, 10).step == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    "wrong", [{"eps": 9 / 255}, {"eps": -1.0}, {"steps": 0}, {"step_size": 0.0}, {"step_size": 38}]
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ExplorerError) as caught:
        Attack(Kind.PGD, **wrong)
    assert_one_sentence(str(caught.value))


def test_labels_and_views_that_do_not_fit_are_refused(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    wrong: list[Callable[[], object]] = [
        lambda: attack(loaded, views, [0, 1], PGD),
        lambda: attack(loaded, views, [0, 1, 5], PGD),
        lambda: attack(loaded, [], None, PGD),
        lambda: attack(loaded, views, LABELS, PGD, ids=["a"]),
        lambda: attack(loaded, [views[0][:16]], None, PGD),
    ]
    for call in wrong:
        with pytest.raises(ExplorerError) as caught:
            call()
        assert_one_sentence(str(caught.value))


def test_a_name_that_is_no_unicode_is_an_id() -> None:
    drawn = unit_noise(["cat\udcff.png", "cat.png"], 0, torch.zeros(2, 3, 4, 4))
    assert not torch.equal(drawn[0], drawn[1])
