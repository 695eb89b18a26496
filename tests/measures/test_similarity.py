"""Token similarity against loops over pairs, in float64."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from explorer.measures.settings import Definition
from explorer.measures.similarity import LEVEL, band, mean_cosine, of_outputs, of_values, order, token_similarity
from explorer.models.trace import trace
from tests.helpers import make_trace, normal, quadratics, stochastic

DEFINITIONS = [Definition(*options) for options in itertools.product((False, True), repeat=3)]


def mean_over_pairs(tokens: np.ndarray, definition: Definition) -> float:
    cosines = []
    for i, x in enumerate(tokens):
        for j, y in enumerate(tokens):
            if i != j or definition.with_diagonal:
                cosine = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
                cosines.append(abs(cosine) if definition.absolute else cosine)
    return sum(cosines) / len(cosines)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
def test_formula_equals_the_mean_over_pairs(definition: Definition) -> None:
    trace = make_trace(stochastic(2, 1, 7, 7), quadratics(1.0, 2.0), tokens=normal(3, 7, 5), prefix=2)
    tokens = trace.tokens.numpy() if definition.with_prefix else trace.tokens.numpy()[:, 2:]
    expected = [mean_over_pairs(layer, definition) for layer in tokens]
    np.testing.assert_allclose(token_similarity(trace, definition).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
def test_outputs_are_the_effective_matrix_on_the_values_with_heads_joined(definition: Definition) -> None:
    A, V = stochastic(2, 3, 7, 7), normal(2, 3, 7, 4)
    trace = make_trace(A, quadratics(1.0, 1.7), values=V, prefix=2)
    expected = []
    for layer, a in enumerate((1.0, 1.7)):
        effective = a * A[layer].numpy() + (1 - a) * A[layer].numpy() @ A[layer].numpy()
        joined = np.concatenate([e @ v for e, v in zip(effective, V[layer].numpy(), strict=True)], axis=1)
        expected.append(mean_over_pairs(joined if definition.with_prefix else joined[2:], definition))
    np.testing.assert_allclose(of_outputs(trace, definition).numpy(), expected, rtol=1e-12)


def test_outputs_under_another_filter_are_of_the_same_attention_and_values() -> None:
    A, V = stochastic(2, 3, 7, 7), normal(2, 3, 7, 4)
    trace = make_trace(A, quadratics(1.0, 1.0), values=V)
    twiced = [
        np.concatenate([(2 * a - a @ a) @ v for a, v in zip(A[i].numpy(), V[i].numpy(), strict=True)], axis=1)[1:]
        for i in (0, 1)
    ]
    expected = [mean_over_pairs(tokens, Definition()) for tokens in twiced]
    np.testing.assert_allclose(of_outputs(trace, filter=quadratics(2.0, 2.0)).numpy(), expected, rtol=1e-12)
    joined = [np.concatenate(list(V[i].numpy()), axis=1)[1:] for i in (0, 1)]
    expected = [mean_over_pairs(tokens, Definition()) for tokens in joined]
    np.testing.assert_allclose(of_values(trace).numpy(), expected, rtol=1e-12)


def test_curves_are_ordered_layer_by_layer() -> None:
    curve = torch.tensor([0.1, 0.5, 0.9, 0.4 + LEVEL / 2, 0.3])
    other = torch.tensor([0.2, 0.4, 0.4, 0.4, 0.9])
    ordered = order(curve, other)
    assert (ordered.below, ordered.above, ordered.level) == ((1, 5), (2, 3), (4,))


def test_outputs_of_rank_one_attention_are_all_alike_and_of_the_identity_the_values_themselves() -> None:
    V = normal(2, 3, 7, 4)
    flat = make_trace(torch.full((2, 3, 7, 7), 1 / 7, dtype=torch.float64), quadratics(1.0, 2.0), values=V)
    torch.testing.assert_close(of_outputs(flat), torch.ones(2, dtype=torch.float64))
    same = make_trace(torch.eye(7, dtype=torch.float64).expand(2, 3, 7, 7), quadratics(1.0, 2.0), values=V)
    joined = V.transpose(1, 2).flatten(start_dim=2)
    torch.testing.assert_close(of_outputs(same), mean_cosine(joined[:, 1:]))


def test_outputs_are_what_a_model_projects(make_model: Callable[..., VisionTransformer], images: Tensor) -> None:
    model = make_model(quadratics(1.0, 2.0), torch.float64)
    projected: list[Tensor] = []
    hooks = [b.attn.proj.register_forward_pre_hook(lambda _, x: projected.append(x[0][0])) for b in model.blocks]
    try:
        model(images[:1].double())
    finally:
        for hook in hooks:
            hook.remove()
    expected = torch.stack([mean_cosine(one[1:]) for one in projected])
    torch.testing.assert_close(of_outputs(trace(model, images[:1].double())[0]), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("with_diagonal", [False, True])
def test_equal_tokens_have_similarity_one(absolute: bool, with_diagonal: bool) -> None:
    tokens = (normal(1, 6) * torch.arange(1, 10, dtype=torch.float64)[:, None]).requires_grad_(False)
    similarity = mean_cosine(tokens, absolute=absolute, with_diagonal=with_diagonal)
    torch.testing.assert_close(similarity, torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("absolute", [False, True])
def test_orthogonal_tokens_have_similarity_zero(absolute: bool) -> None:
    tokens, _ = torch.linalg.qr(normal(6, 6))
    similarity = mean_cosine(3 * tokens, absolute=absolute)
    torch.testing.assert_close(similarity, torch.tensor(0.0, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("absolute", "expected"), [(False, -1.0), (True, 1.0)])
def test_antiparallel_tokens(absolute: bool, expected: float) -> None:
    x = normal(6)
    similarity = mean_cosine(torch.stack([x, -2 * x]), absolute=absolute)
    torch.testing.assert_close(similarity, torch.tensor(expected, dtype=torch.float64))


def test_zero_tokens_have_no_direction() -> None:
    tokens = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(mean_cosine(tokens), torch.tensor(1 / 3, dtype=torch.float64))


def test_default_is_the_signed_cosine_of_patch_tokens() -> None:
    trace = make_trace(stochastic(2, 1, 7, 7), quadratics(1.0, 2.0))
    assert torch.equal(token_similarity(trace), mean_cosine(trace.tokens[:, 1:]))


def test_sentences_tell_the_definitions_apart() -> None:
    assert len({definition.sentence() for definition in DEFINITIONS}) == len(DEFINITIONS)


def curves() -> list[Tensor]:
    return list(normal(4, 3))


def test_band_is_the_mean_and_the_sample_deviation() -> None:
    result, stacked = band(curves()), np.stack(curves())
    np.testing.assert_allclose(result.mean.numpy(), stacked.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.std.numpy(), stacked.std(axis=0, ddof=1), rtol=1e-12)
    assert result.count == 4


def test_band_of_one_image_has_no_width() -> None:
    result = band(curves()[:1])
    assert torch.equal(result.mean, curves()[0])
    assert torch.equal(result.std, torch.zeros(3, dtype=torch.float64))
