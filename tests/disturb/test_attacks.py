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
from explorer.disturb.settings import (
    FGSM_HAN,
    FGSM_PIXELS,
    PGD_HAN,
    PGD_PIXELS,
    Attack,
    Kind,
    Label,
    Space,
    units,
)
from explorer.models import LoadedModel
from explorer.models.pixels import as_batch, from_pixels
from explorer.types import ExplorerError, Preprocessing
from tests.helpers import assert_one_sentence

MakeModel = Callable[..., VisionTransformer]

LABELS = [0, 3, 4]
PGD = Attack(Kind.PGD, eps=4 / 255, steps=5, random_start=True)
ATTACKS = [FGSM_PIXELS, PGD, replace(PGD_PIXELS, steps=6, random_start=False), Attack(Kind.PGD, 8 / 255, 3, 8 / 255)]


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


@pytest.mark.parametrize("settings", [replace(FGSM_PIXELS, eps=0.5 / 255), PGD, replace(PGD, random_start=False)])
def test_the_loss_rises(loaded: LoadedModel, views: list[np.ndarray], settings: Attack) -> None:
    found = attack(loaded, views, LABELS, settings)
    assert bool((found.after.loss > found.before.loss).all())
    assert float(found.after.probability(found.labels).sum()) < float(found.before.probability(found.labels).sum())


def test_fgsm_is_its_formula(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    found = attack(loaded, views, LABELS, FGSM_PIXELS)
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
    found = attack(loaded, views, [0, 0, 0], FGSM_PIXELS)
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
        transfer(LoadedModel(pair[1].card, module), attack(pair[0], views, LABELS, FGSM_PIXELS))


def test_normalisation_is_inside(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    """Another declared normalisation is another model, within the same budget of pixels."""
    other = Preprocessing((32, 32), mean=(0.0, 0.0, 0.0), std=(0.01, 1.0, 100.0))
    changed = LoadedModel(replace(loaded.card, preprocessing=other), loaded.module)
    for channel in attack(changed, views, LABELS, FGSM_PIXELS).perturbation.unbind(dim=1):
        assert float(channel.abs().max()) == pytest.approx(4 / 255, rel=1e-3)


@pytest.mark.parametrize("settings", [FGSM_PIXELS, PGD])
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


def test_the_presets_in_words() -> None:
    assert FGSM_PIXELS.sentence() == "FGSM, eps 4/255."
    start, han = "a random start (seed 0)", "on the normalised input, not clipped, away from the model's own prediction"
    assert PGD_PIXELS.sentence() == f"PGD, eps 4/255, 20 steps of 0.15 eps (0.6/255) from {start}."
    assert PGD_HAN.sentence() == f"PGD, eps 4/255, 20 steps of 0.15 eps (0.6/255) from {start}, {han}."
    assert PGD_HAN.rule() == f"PGD, 20 steps of 0.15 eps from {start}, {han}"
    assert FGSM_HAN.rule() == f"FGSM, {han}"
    old = Attack(Kind.PGD, step_size=0.15 / 255)
    assert old.sentence() == "PGD, eps 4/255, 20 steps of 0.15/255 from the image itself."
    assert old.rule() == "PGD, 20 steps of 0.15/255 from the image itself"
    assert Attack(Kind.PGD, steps=5).rule() == "PGD, 5 steps of 2.5 eps over their number from the image itself"
    assert "seed 0" in PGD.sentence()
    assert Attack(Kind.PGD, 4 / 255, 10).step == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    "wrong",
    [
        {"eps": 9 / 255},
        {"eps": -1.0},
        {"steps": 0},
        {"step_size": 0.0},
        {"step_size": 38},
        {"step_share": 0.0},
        {"step_share": 1.1},
        {"step_share": 0.15, "step_size": 0.01},
    ],
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


# --- as Han et al. coded it: on the normalised input, without bounds, away from the model's own prediction ---------


def by_hand(model: LoadedModel, clean: Tensor, settings: Attack, ids: list[str]) -> Tensor:
    """What cleverhans does with a normalised image and nothing else, in pixels: its two functions written out."""
    mean, std = (
        torch.tensor(values, dtype=torch.float64)[:, None, None]
        for values in (declared(model).mean, declared(model).std)
    )
    x = (clean - mean) / std
    label = model.module(x).argmax(dim=1)
    if settings.kind is Kind.FGSM:
        steps, step, adversarial = 1, settings.eps, x
    else:
        steps, step = 20, 0.15 * settings.eps
        adversarial = x + settings.eps * unit_noise(ids, 0, x)
    for _ in range(steps):
        leaf = adversarial.detach().requires_grad_()
        F.cross_entropy(model.module(leaf), label).backward()
        moved = leaf.detach() + step * leaf.grad.sign()
        adversarial = x + (moved - x).clamp(-settings.eps, settings.eps)
    return adversarial * std + mean


def declared(model: LoadedModel) -> Preprocessing:
    return model.card.preprocessing


@pytest.fixture
def precise(loaded: LoadedModel, make_model: MakeModel) -> LoadedModel:
    """In double precision, so that no rounding turns the sign of a gradient; with another scale for each channel."""
    other = Preprocessing((32, 32), mean=(0.48, 0.45, 0.4), std=(0.2, 0.3, 0.4))
    return LoadedModel(replace(loaded.card, preprocessing=other), make_model().double().requires_grad_(False))


@pytest.mark.parametrize("settings", [FGSM_HAN, PGD_HAN], ids=str)
def test_as_han_et_al_coded_it(precise: LoadedModel, extreme: list[np.ndarray], settings: Attack) -> None:
    ids = ["a", "b", "c"]
    found = attack(precise, extreme, LABELS, settings, ids=ids)
    assert torch.equal(found.labels, found.before.predictions)
    assert found.labels.tolist() != LABELS
    torch.testing.assert_close(found.adversarial, by_hand(precise, found.clean, settings, ids), rtol=0, atol=1e-12)
    for channel, of_channel in enumerate(settings.in_pixels(precise.card)):
        assert of_channel == pytest.approx(4 / 255 * declared(precise).std[channel])
        assert float(found.perturbation[:, channel].abs().max()) == pytest.approx(of_channel)
    assert float(found.adversarial.min()) < 0
    assert float(found.adversarial.max()) > 1


def test_the_label_alone_makes_the_difference(precise: LoadedModel, views: list[np.ndarray]) -> None:
    """With the image's class on the normalised input, and with the prediction in pixels."""
    given = attack(precise, views, LABELS, replace(PGD_HAN, label=Label.GIVEN))
    own = attack(precise, views, LABELS, PGD_HAN)
    assert given.labels.tolist() == LABELS
    assert not torch.equal(given.adversarial, own.adversarial)
    predicted = own.before.predictions.tolist()
    same = attack(precise, views, predicted, replace(PGD_HAN, label=Label.GIVEN))
    assert torch.equal(own.adversarial, same.adversarial)
    in_pixels = attack(precise, views, LABELS, replace(PGD_PIXELS, label=Label.PREDICTED))
    assert torch.equal(in_pixels.adversarial, attack(precise, views, predicted, PGD_PIXELS).adversarial)


def test_the_step_is_a_share_of_every_budget(loaded: LoadedModel, views: list[np.ndarray]) -> None:
    for eps in (1 / 255, 4 / 255):
        share = replace(PGD_PIXELS, eps=eps, steps=3)
        assert share.step == pytest.approx(0.15 * eps)
        size = replace(share, step_share=None, step_size=0.15 * eps)
        assert torch.equal(
            attack(loaded, views, LABELS, share).adversarial, attack(loaded, views, LABELS, size).adversarial
        )


def test_what_left_the_range_is_shown_to_the_other_model_as_it_is(
    pair: list[LoadedModel], extreme: list[np.ndarray]
) -> None:
    found = attack(pair[0], extreme, LABELS, FGSM_HAN)
    assert float(found.adversarial.min()) < 0
    with torch.no_grad():
        torch.testing.assert_close(transfer(pair[1], found)[1].logits, from_pixels(pair[1])(found.adversarial))


def test_budgets_convert_between_pixels_and_normalised_units(loaded: LoadedModel) -> None:
    imagenet = Preprocessing((32, 32), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    card = replace(loaded.card, preprocessing=imagenet)
    said = "4/255 of the normalised input = 0.90/255 in pixels on average (0.92, 0.90, 0.90)"
    assert units(PGD_HAN, [card, card]) == said
    said = "4/255 in pixels = 17.70/255 of the normalised input on average (17.47, 17.86, 17.78)"
    assert units(PGD_PIXELS, [card]) == said
    half = replace(card, name="Half", preprocessing=replace(imagenet, std=(0.5, 0.5, 0.5)))
    assert "; 2.00/255 in pixels on average (2.00, 2.00, 2.00) for Half" in units(PGD_HAN, [card, half])
    assert Attack(space=Space.NORMALISED).in_pixels(half) == pytest.approx((2 / 255,) * 3)
