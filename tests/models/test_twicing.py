"""The filtered attention against timm's own and against matrices written out in full."""

from collections.abc import Callable

import pytest
import timm
import torch
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from explorer.models import registry
from explorer.models.twicing import FilteredAttention, get_filter, set_filter
from explorer.paper import operators
from explorer.types import ExplorerError
from tests.helpers import CLASSES, normal, quadratics

MakeModel = Callable[..., VisionTransformer]

COEFFICIENTS = (0.0, 1.0, 1.5, 2.0, 3.0)
FUSED = (True, False)


def attention_pair(a: float, dtype: torch.dtype = torch.float64, **options: object) -> tuple[FilteredAttention, Tensor]:
    """A filtered attention of 2 heads with large weights, and tokens for it."""
    torch.manual_seed(3)
    attn = FilteredAttention(32, num_heads=2, qkv_bias=True, **options)
    for parameter in attn.parameters():
        nn.init.normal_(parameter, std=0.3)
    attn.operator, attn.layer = operators.quadratic(a), 1
    return attn.to(dtype).eval(), normal(2, 9, 32).to(dtype)


def explicit(attn: FilteredAttention, x: Tensor, mask: Tensor | None = None) -> Tensor:
    """`concat_h(p_a(A_h * mask) V_h) W + b` with every matrix formed."""
    q, k, v = attn.qkv(x).reshape(*x.shape[:2], 3, 2, 16).permute(2, 0, 3, 1, 4)
    A = torch.softmax(torch.einsum("bhqc,bhkc->bhqk", q, k) / 4.0, dim=-1)
    A = A if mask is None else A * mask
    a = coefficient(attn)
    u = torch.einsum("bhqk,bhkc->bqhc", a * A + (1 - a) * A @ A, v)
    return attn.proj(u.reshape(*x.shape[:2], 32))


def coefficient(attn: FilteredAttention) -> float:
    (a,) = operators.written((attn.operator,))
    assert isinstance(a, float)
    return a


class FixedDropout(nn.Module):
    """Drops by a fixed mask and counts how often it is asked."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.mask, self.p, self.calls = mask, 0.5, 0

    def forward(self, a: Tensor) -> Tensor:
        self.calls += 1
        return a * self.mask


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("a", COEFFICIENTS)
def test_forward_applies_the_filter_of_the_matrix(a: float, fused: bool) -> None:
    attn, x = attention_pair(a)
    attn.fused_attn = fused
    torch.testing.assert_close(attn(x), explicit(attn, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("a", COEFFICIENTS)
def test_fused_equals_explicit(a: float, dtype: torch.dtype, tolerance: float) -> None:
    attn, x = attention_pair(a, dtype)
    attn.fused_attn = True
    fused = attn(x)
    attn.fused_attn = False
    assert (fused - attn(x)).abs().max() <= tolerance * max(1.0, float(fused.detach().abs().max()))


@pytest.mark.parametrize("fused", FUSED)
def test_coefficient_one_is_timms_attention_exactly(fused: bool) -> None:
    attn, x = attention_pair(1.0, torch.float32)
    plain = Attention(32, num_heads=2, qkv_bias=True).eval()
    plain.load_state_dict(attn.state_dict())
    attn.fused_attn = plain.fused_attn = fused
    assert torch.equal(attn(x), plain(x))


def test_gradients_of_fused_and_explicit_agree() -> None:
    gradients = []
    for fused in FUSED:
        attn, x = attention_pair(2.0)
        attn.fused_attn = fused
        attn(x).square().sum().backward()
        gradients.append(attn.qkv.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("a", [1.5, 2.0])
def test_dropout_acts_on_the_matrix_once(a: float, fused: bool) -> None:
    attn, x = attention_pair(a)
    mask = 2.0 * torch.bernoulli(torch.full((2, 2, 9, 9), 0.5, dtype=torch.float64))
    attn.attn_drop, attn.fused_attn = FixedDropout(mask), fused
    attn.train()
    torch.testing.assert_close(attn(x), explicit(attn, x, mask), rtol=0, atol=1e-12)
    assert attn.attn_drop.calls == 1


def test_dropout_does_nothing_in_eval_mode() -> None:
    attn, x = attention_pair(2.0, attn_drop=0.5)
    torch.testing.assert_close(attn(x), explicit(attn, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("a", [1.0, 2.0])
def test_a_mask_hides_keys_from_the_matrix(a: float, fused: bool) -> None:
    attn, x = attention_pair(a)
    attn.fused_attn = fused
    hidden = torch.zeros(9, 9, dtype=torch.bool)
    hidden[:, 5:] = True
    shown = attn(x, attn_mask=~hidden)
    # Hiding the last four keys equals attending over the first five tokens.
    torch.testing.assert_close(shown[:, :5], attn(x[:, :5]), rtol=0, atol=1e-12)
    assert (shown - attn(x)).abs().max() > 1e-3
    causal = attn(x, is_causal=True)
    torch.testing.assert_close(causal[:, :3], attn(x[:, :3], is_causal=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("a", [1.0, 2.0])
def test_a_closed_gate_leaves_the_bias_of_the_projection(a: float) -> None:
    attn, x = attention_pair(a, gated=True)
    nn.init.constant_(attn.gate.weight, 0.0)
    nn.init.constant_(attn.gate.bias, -100.0)
    torch.testing.assert_close(attn(x), attn.proj.bias.expand_as(x), rtol=0, atol=1e-12)


def test_standard_logits_equal_timms_own_model_exactly(make_model: MakeModel, images: Tensor, tiny: str) -> None:
    model = make_model(quadratics(1.0, 1.0))
    row = registry.ARCHITECTURES[tiny]
    plain = timm.create_model(row.timm_name, num_classes=len(CLASSES), **row.options).eval()
    plain.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))


def test_the_filter_adds_no_parameters(make_model: MakeModel) -> None:
    assert make_model(quadratics(1.0, 1.0)).state_dict().keys() == make_model(quadratics(2.0, 2.0)).state_dict().keys()


def test_filter_is_read_back(make_model: MakeModel) -> None:
    model = make_model(quadratics(1.0, 1.0))
    set_filter(model, quadratics(1.5, 2.0))
    assert get_filter(model) == quadratics(1.5, 2.0)


def test_a_filter_of_the_wrong_length_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ExplorerError, match="each of the 2 blocks; 3 came"):
        set_filter(make_model(), quadratics(1.0, 2.0, 2.0))


def test_a_filter_on_a_foreign_attention_is_refused(tiny: str) -> None:
    row = registry.ARCHITECTURES[tiny]
    model = timm.create_model(row.timm_name, num_classes=5, **row.options)
    with pytest.raises(ExplorerError, match="Attention came"):
        set_filter(model, quadratics(2.0, 2.0))
