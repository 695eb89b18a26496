"""GradCAM and gradient-weighted rollout against formulas written out, and gradients through the filter."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import ResPostBlock, VisionTransformer
from torch import Tensor

from explorer.attribution.gradcam import with_grid
from explorer.attribution.methods import attribute
from explorer.attribution.rollout import forward, readout, weighted_rollout
from explorer.attribution.settings import Method
from explorer.models import LoadedModel
from explorer.models.pixels import as_batch, from_pixels
from explorer.models.trace import trace
from explorer.paper import operators
from explorer.types import Operator
from tests.helpers import normal, quadratics

MakeModel = Callable[..., VisionTransformer]
MakeLoaded = Callable[..., LoadedModel]

TARGET = 2
OPTIONS = {
    "class token": {},
    "registers": {"reg_tokens": 3},
    "mean of patches": {"global_pool": "avg"},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "attention pool": {"global_pool": "map"},
    "LayerScale": {"init_values": 0.5},
    "norm behind the attention": {"block_fn": ResPostBlock},
}


def cam(features: Tensor, gradients: Tensor, prefix: int) -> Tensor:
    """`sum_d mean_patches(dy/dF_d) F_d` on a grid of 4 x 4."""
    weights = gradients[0, prefix:].mean(dim=0)
    return (features[0, prefix:] @ weights).view(4, 4)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_grad_cam_is_the_formula(make_loaded: MakeLoaded, view: np.ndarray, options: dict[str, object]) -> None:
    model = make_loaded(quadratics(2.0, 1.5), **options)
    module, kept = model.module, []
    pooled = options.get("global_pool", "token") != "token"
    place = module.norm if pooled else module.blocks[-1].attn

    def keep(x: Tensor) -> Tensor:
        kept.append(x.requires_grad_())
        return x

    hook = (
        place.register_forward_hook(lambda _, inputs, out: keep(out))
        if pooled
        else place.register_forward_pre_hook(lambda _, inputs: (keep(inputs[0]), *inputs[1:]))
    )
    y = from_pixels(model)(as_batch(view, model))[0, TARGET]
    hook.remove()
    gradient = torch.autograd.grad(y, kept[0])[0]
    expected = cam(kept[0].detach(), gradient, module.num_prefix_tokens)
    found = attribute(model, view, Method.GRAD_CAM, TARGET).values
    assert float(found.abs().max()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_grad_cam_reads_what_norm1_gives(make_loaded: MakeLoaded, view: np.ndarray) -> None:
    model = make_loaded()
    own, place = with_grid(model.module)
    seen: list[Tensor] = []
    place.register_forward_hook(lambda _, inputs, out: seen.append(out))
    model.module.blocks[-1].norm1.register_forward_hook(lambda _, inputs, out: seen.append(out))
    own(from_pixels(model).normalised(as_batch(view, model)))
    normed, on_grid = seen
    assert on_grid.shape == (1, 32, 4, 4)
    assert torch.equal(on_grid.flatten(2).mT, normed[:, 1:])


def test_the_model_with_a_grid_is_the_same_model_and_leaves_the_original(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    before = {name: type(part) for name, part in model.named_modules()}
    own, _ = with_grid(model)
    assert torch.equal(own(images), model(images))
    assert {name: type(part) for name, part in model.named_modules()} == before
    assert {id(p) for p in own.parameters()} == {id(p) for p in model.parameters()}


# --- rollout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_differentiable_capture_is_the_traced_one(
    make_model: MakeModel, images: Tensor, options: dict[str, object]
) -> None:
    model = make_model(quadratics(2.0, 1.5), torch.float64, **options).requires_grad_(False)
    logits, matrices, _ = forward(model, images.double())
    one = trace(model, images.double())[1]
    torch.testing.assert_close(logits[1].detach(), one.logits)
    for layer, (found, attention) in enumerate(zip(matrices, one.attention, strict=True)):
        torch.testing.assert_close(found[1].detach(), operators.effective(attention, one.filter[layer], layer))


@pytest.mark.parametrize("name", ["neutreno", "resformer", "svformer", "elliptical-neutreno", "linear-resformer"])
def test_what_the_first_blocks_values_get_joins_the_rollout(make_model: MakeModel, images: Tensor, name: str) -> None:
    """The product by blocks of a matrix twice as large, whose second half is the first block's values."""
    model = make_model(operators.in_blocks(name, 2), torch.float64).requires_grad_(False)
    logits, own, of_first = forward(model, images[:1].double())
    torch.testing.assert_close(logits.detach(), model(images[:1].double()))
    assert of_first[0] is None
    assert of_first[1] is not None
    gradients = torch.autograd.grad(logits[0, TARGET], [*own, of_first[1]])
    first, second, past = (
        (gradient[0] * matrix[0].detach()).clamp(min=0).mean(dim=0).numpy()
        for matrix, gradient in zip([*own, of_first[1]], gradients, strict=True)
    )
    unit = np.eye(len(first))
    whole = (unit + second) @ (unit + first) + past
    start = readout(model, 1)[0].double().numpy()
    np.testing.assert_allclose(
        weighted_rollout(model, images[:1].double(), TARGET)[0], start @ whole - start, rtol=1e-9
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_weighted_rollout_is_the_product_written_out(
    make_model: MakeModel, images: Tensor, options: dict[str, object]
) -> None:
    model = make_model(quadratics(2.0, 1.5), torch.float64, **options).requires_grad_(False)
    x = images.double()
    logits, matrices, _ = forward(model, x)
    gradients = torch.autograd.grad(logits[0, TARGET], matrices)
    product = torch.eye(matrices[0].shape[-1], dtype=torch.float64)
    for matrix, gradient in zip(matrices, gradients, strict=True):
        product = product + (gradient[0] * matrix[0].detach()).clamp(min=0).mean(dim=0) @ product
    start = readout(model, 1)[0].double()
    found = weighted_rollout(model, x, TARGET)[0]
    torch.testing.assert_close(found, start @ product - start)
    assert float(start.sum()) == pytest.approx(1)
    assert float(found.min()) >= 0


def test_the_gradient_is_that_of_each_entry_of_the_effective_matrix(make_model: MakeModel, images: Tensor) -> None:
    """Moves one entry of the first block's `E` by a little and watches the logit."""
    model = make_model(quadratics(2.0, 2.0), torch.float64).requires_grad_(False)
    logits, matrices, _ = forward(model, images[:1].double())
    gradient = torch.autograd.grad(logits[0, TARGET], matrices[0])[0]
    entry, step, real = (0, 1, 4, 7), 1e-5, operators.effective

    def moved(by: float) -> float:
        first = iter([True])

        def effective(a: Tensor, operator: Operator, layer: int) -> Tensor:
            matrix = real(a, operator, layer).clone()
            if next(first, False):
                matrix[entry] += by
            return matrix

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operators, "effective", effective)
            return float(forward(model, images[:1].double())[0].detach()[0, TARGET])

    assert (moved(step) - moved(-step)) / (2 * step) == pytest.approx(float(gradient[entry]), rel=1e-5)


# --- gradients through the filter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [0.5, 1.0, 1.5, 2.0])
def test_gradients_of_the_filter(a: float) -> None:
    scores, v = normal(2, 5, 5).requires_grad_(), normal(2, 5, 3, seed=1).requires_grad_()
    operator = operators.quadratic(a)

    def filtered(scores: Tensor, v: Tensor) -> Tensor:
        return operators.output(operator, 1, scores.softmax(dim=-1).matmul, v, None)

    def formed(scores: Tensor, v: Tensor) -> Tensor:
        return operators.effective(scores.softmax(dim=-1), operator) @ v

    assert torch.autograd.gradcheck(filtered, (scores, v))
    assert torch.autograd.gradcheck(formed, (scores, v))


@pytest.mark.parametrize("fused", [True, False])
def test_gradients_of_a_model_with_filters(make_model: MakeModel, images: Tensor, fused: bool) -> None:
    model = make_model(quadratics(2.0, 1.5), torch.float64).requires_grad_(False)
    for block in model.blocks:
        block.attn.fused_attn = fused
    x = images[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x: forward(model, x)[0], (x,), fast_mode=True)
