"""The traced pass against the untraced model and against an independent transformer in NumPy."""

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import timm
import torch
from scipy.special import xlogy
from timm.models.vision_transformer import ParallelScalingBlock, ResPostBlock, VisionTransformer
from torch import Tensor, nn

from explorer.measures import attention, residual
from explorer.models import registry
from explorer.models import trace as tracing
from explorer.models.registry import Architecture
from explorer.models.trace import count, geometry, states, trace
from explorer.models.twicing import make_filtered, set_filter
from explorer.paper import operators
from explorer.paper.filters import FILTERS as FILTERS_BY_NAME
from explorer.paper.kernels import KERNELS
from explorer.traces import Trace
from explorer.types import ExplorerError, Operator, Operators
from tests.helpers import (
    TINY,
    digest,
    make_trace,
    normal,
    quadratics,
    randomise,
    stochastic,
    trace_digest,
    vit_reference,
)

MakeModel = Callable[..., VisionTransformer]

FILTERS: tuple[Operators, ...] = (
    quadratics(1.0, 1.0),
    quadratics(2.0, 2.0),
    quadratics(1.0, 2.0),
    quadratics(1.5, 0.5),
)

OPERATORS: tuple[Operators, ...] = (
    *((operators.named(name),) * 2 for name in FILTERS_BY_NAME),
    *((Operator(kernel=name),) * 2 for name, kind in KERNELS.items() if name != "softmax" and not kind.has_own_weights),
    operators.in_blocks("elliptical-twicing,elliptical-neutreno", 2),
    operators.in_blocks("linear-twicing,resformer", 2),
    operators.in_blocks("standard,linear-boosting=4", 2),
)
"""Every filter, every kernel that goes with any weights, and some of both."""

# Options of timm's transformer that the traced pass accepts.
FAMILIES = {
    "class token": {},
    "registers": {"reg_tokens": 3},
    "registers without class": {"reg_tokens": 2, "class_token": False, "global_pool": "avg"},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "mean of patches": {"global_pool": "avg"},
    "position on patches only": {"no_embed_class": True},
    "LayerScale": {"init_values": 0.5},
    "query and key norms": {"qk_norm": True},
    "norm of joined heads": {"scale_attn_norm": True},
    "norm before blocks": {"pre_norm": True},
    "attention pool": {"global_pool": "map"},
    "norm behind the attention": {"block_fn": ResPostBlock},
    "bias and norm in the MLP": {"scale_mlp_norm": True},
    "stochastic depth and dropout": {"drop_path_rate": 0.3, "attn_drop_rate": 0.3, "proj_drop_rate": 0.3},
    "patch dropout": {"patch_drop_rate": 0.5},
}

# Models of timm by name, one or more of every family, cut to two narrow blocks; what differs between them is kept.
NAMES = (
    "vit_tiny_patch16_224",
    "vit_small_patch8_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch14_reg4_dinov2",
    "vit_base_patch32_clip_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_base_patch16_siglip_224",
    "vit_base_patch16_siglip_gap_224",
    "vit_little_patch16_reg4_gap_256",
    "vit_wee_patch16_reg1_gap_256",
    "vit_so150m_patch16_reg4_map_256",
    "vit_medium_patch16_gap_256",
    "vit_base_r26_s32_224",
    "vit_base_patch16_rpn_224",
    "aimv2_large_patch14_224",
    "deit_tiny_distilled_patch16_224",
    "eva02_tiny_patch14_224",
    "eva02_base_patch16_clip_224",
    "eva_giant_patch14_224",
    "vit_small_patch16_dinov3",
    "vit_small_patch16_rope_224",
    "vit_small_patch16_rope_ape_224",
    "vit_small_patch16_rope_mixed_224",
    "vit_base_patch16_rope_reg1_gap_256",
    "vit_pe_core_tiny_patch16_384",
)
REFUSED = {
    "vit_relpos_small_patch16_224": "vision_transformer_relpos.RelPosAttention",
    "beit_base_patch16_224": "beit.Attention",
    "vit_base_patch16_xp_224": "no attn of its own",
    "vit_small_patch16_18x2_224": "no attn of its own",
    "vit_dpwee_patch16_reg1_gap_256": "no attn of its own",
    "cait_xxs24_224": "cait.TalkingHeadAttn",
    "xcit_nano_12_p16_224": "xcit.XCA",
    "swin_tiny_patch4_window7_224": "SwinTransformer has none",
    "resnet50": "ResNet has none",
}


def assert_untouched(model: VisionTransformer, weights: str) -> None:
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    assert digest(model.state_dict().values()) == weights
    assert not model.training


@pytest.fixture
def distilled(monkeypatch: pytest.MonkeyPatch, tiny: str) -> VisionTransformer:
    row = registry.ARCHITECTURES[tiny]
    changed = Architecture(
        row.title, "deit_tiny_distilled_patch16_224", row.input_size, depth=row.depth, options=row.options
    )
    monkeypatch.setitem(registry.ARCHITECTURES, tiny, changed)
    return randomise(registry.create(tiny, 5, quadratics(1.0, 2.0))).double().eval()


@pytest.fixture
def rapid_switching() -> Iterator[None]:
    """Threads take turns so often that sharing a buffer would show."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("filter", [*FILTERS, *OPERATORS], ids=str)
def test_logits_equal_the_untraced_ones_in_float32(make_model: MakeModel, images: Tensor, filter: Operators) -> None:
    model = make_model(filter)
    with torch.no_grad():
        expected = model(images)
    traced = torch.stack([one.logits for one in trace(model, images)])
    assert (traced - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("filter", [*FILTERS, *OPERATORS], ids=str)
def test_logits_equal_the_untraced_ones_in_float64(make_model: MakeModel, images: Tensor, filter: Operators) -> None:
    model, images = make_model(filter, torch.float64), images.double()
    with torch.no_grad():
        expected = model(images)
    traced = torch.stack([one.logits for one in trace(model, images)])
    torch.testing.assert_close(traced, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_accepted_family_is_reproduced(make_model: MakeModel, images: Tensor, family: str) -> None:
    model, images = make_model(quadratics(1.0, 2.0), torch.float64, **FAMILIES[family]), images.double()
    with torch.no_grad():
        expected = model(images)
    traced = torch.stack([one.logits for one in trace(model, images)])
    torch.testing.assert_close(traced, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("family", "prefix", "has_class_token"),
    [
        ("class token", 1, True),
        ("registers", 4, True),
        ("registers without class", 2, False),
        ("no class token", 0, False),
    ],
)
def test_a_trace_knows_whether_its_first_token_is_cls(
    make_model: MakeModel, images: Tensor, family: str, prefix: int, has_class_token: bool
) -> None:
    one = trace(make_model(**FAMILIES[family]), images[:1])[0]
    assert (one.prefix, one.has_class_token) == (prefix, has_class_token)


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("class token", ("CLS",)),
        ("registers", ("CLS", "register 1", "register 2", "register 3")),
        ("registers without class", ("register 1", "register 2")),
        ("no class token", ()),
    ],
)
def test_prefix_tokens_have_names(make_model: MakeModel, images: Tensor, family: str, names: tuple[str, ...]) -> None:
    model = make_model(**FAMILIES[family])
    assert trace(model, images[:1])[0].prefix_names == geometry(model).prefix_names == names


def test_the_distillation_token_has_a_name(distilled: VisionTransformer, images: Tensor) -> None:
    (traced,) = trace(distilled, images[:1].double())
    assert traced.prefix_names == geometry(distilled).prefix_names == ("CLS", "distillation")


def test_gated_attention_is_reproduced(make_model: MakeModel, images: Tensor) -> None:
    model = make_model(quadratics(1.0, 2.0))
    for block in model.blocks:
        block.attn.gate = nn.Linear(32, 32)
    model, images = model.double(), images.double()
    with torch.no_grad():
        expected = model(images)
    traced = torch.stack([one.logits for one in trace(model, images)])
    torch.testing.assert_close(traced, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_timms_models_are_reproduced(name: str) -> None:
    """Weights are random, and large enough that attention is far from uniform."""
    torch.manual_seed(0)
    heads = 3 if "rope" in name or "eva" in name or "dinov3" in name or "_pe_" in name else 2
    small = {} if "_r26_" in name else {"img_size": 56 if "14" in name else 64}
    model = timm.create_model(name, num_classes=5, depth=2, embed_dim=32 * heads, num_heads=heads, **small)
    make_filtered(model)
    set_filter(model, quadratics(1.0, 2.0))
    randomise(model).double().eval()
    images = normal(2, 3, *model.patch_embed.img_size, seed=4)
    with torch.no_grad():
        expected = model(images)
    traces = trace(model, images)
    torch.testing.assert_close(torch.stack([one.logits for one in traces]), expected, rtol=1e-11, atol=1e-10)
    torch.testing.assert_close(
        traces[0].attention.sum(-1), torch.ones(()).double().expand(traces[0].attention.shape[:3])
    )


@pytest.mark.parametrize("name", REFUSED)
def test_other_models_are_refused_by_name(name: str) -> None:
    with pytest.raises(ExplorerError, match=re.escape(REFUSED[name])) as refusal:
        registry.architecture(name)
    assert name in str(refusal.value)


def test_an_operator_that_does_not_go_with_a_model_is_refused_by_name() -> None:
    """In a pass under another operator as where a model is declared with it."""
    model = timm.create_model("eva02_tiny_patch14_224", img_size=28, embed_dim=48, depth=1, num_heads=3).eval()
    make_filtered(model)
    elliptical = (Operator(kernel="elliptical"),)
    for refused in (lambda: trace(model, torch.zeros(1, 3, 28, 28), elliptical), lambda: set_filter(model, elliptical)):
        with pytest.raises(ExplorerError, match="queries and keys that are not rotated; those of block 1"):
            refused()
    with pytest.raises(ExplorerError, match="each of the 1 blocks; 2 came"):
        trace(model, torch.zeros(1, 3, 28, 28), elliptical * 2)


def test_an_unbatched_image_is_computed_in_place_and_equals_the_batch(make_model: MakeModel, images: Tensor) -> None:
    model = make_model(dtype=torch.float64)
    batch = trace(model, images.double())
    for index, together in enumerate(batch):
        (alone,) = trace(model, images[index : index + 1].double())
        torch.testing.assert_close(alone.attention, together.attention, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "name", ["deit_tiny_patch16_224", "vit_small_patch16_rope_mixed_224", "eva02_tiny_patch14_224"]
)
def test_states_are_the_tokens_of_a_trace(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        name, num_classes=5, depth=2, embed_dim=96, num_heads=3, img_size=56 if "14" in name else 64
    )
    make_filtered(model)
    set_filter(model, quadratics(1.0, 2.0))
    randomise(model).double().eval()
    images = normal(2, 3, *model.patch_embed.img_size, seed=4)
    together = torch.stack(list(states(model, images)), dim=1)
    for one, expected in zip(trace(model, images), together, strict=True):
        torch.testing.assert_close(one.tokens, expected, rtol=1e-11, atol=1e-10)


def test_distilled_models_are_reproduced(distilled: VisionTransformer, images: Tensor) -> None:
    with torch.no_grad():
        expected = distilled(images.double())
    traces = trace(distilled, images.double())
    assert traces[0].prefix == 2
    torch.testing.assert_close(torch.stack([one.logits for one in traces]), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("filter", [*FILTERS, *OPERATORS], ids=str)
@pytest.mark.parametrize("what", ["logits", "tokens", "attention", "values"])
def test_trace_equals_an_independent_transformer(
    make_model: MakeModel, images: Tensor, filter: Operators, what: str
) -> None:
    model = make_model(filter, torch.float64)
    (one,) = trace(model, images[:1].double())
    expected = vit_reference(model.state_dict(), images[0], filter, heads=2, patch=8)
    np.testing.assert_allclose(getattr(one, what).numpy(), expected[what], rtol=0, atol=1e-10)


def test_the_filter_changes_the_logits(make_model: MakeModel, images: Tensor) -> None:
    logits = [trace(make_model(filter), images)[0].logits for filter in FILTERS]
    assert min((a - b).abs().max() for i, a in enumerate(logits) for b in logits[:i]) > 1e-3


@pytest.mark.parametrize("filter", [*FILTERS, *OPERATORS], ids=str)
def test_another_filter_is_as_a_model_that_has_it(make_model: MakeModel, images: Tensor, filter: Operators) -> None:
    model, images = make_model(dtype=torch.float64), images.double()
    other = make_model(filter, torch.float64)
    other.load_state_dict(model.state_dict())
    own = model.blocks[0].attn.operator
    for swapped, expected in zip(trace(model, images, filter), trace(other, images), strict=True):
        for what in ("attention", "values", "tokens", "logits"):
            assert torch.equal(getattr(swapped, what), getattr(expected, what))
        assert swapped.filter == filter
    assert model.blocks[0].attn.operator == own


def test_batched_equals_single(make_model: MakeModel, images: Tensor) -> None:
    model, images = make_model(dtype=torch.float64), images.double()
    for batched, image in zip(trace(model, images), images, strict=True):
        (single,) = trace(model, image[None])
        for what in ("attention", "values", "tokens", "logits"):
            torch.testing.assert_close(getattr(batched, what), getattr(single, what), rtol=0, atol=1e-12)


def test_a_trace_cannot_be_written_by_accident(make_model: MakeModel, images: Tensor) -> None:
    with pytest.raises(RuntimeError, match="inference"):
        trace(make_model(), images)[0].attention.zero_()


def test_shapes_and_geometry(make_model: MakeModel, images: Tensor) -> None:
    model = make_model(quadratics(1.0, 2.0))
    one, sizes = trace(model, images)[0], geometry(model)
    assert one.attention.shape == (2, 2, 17, 17)
    assert one.values.shape == (2, 2, 17, 16)
    assert one.tokens.shape == (3, 17, 32)
    assert one.logits.shape == (5,)
    assert (one.grid, one.prefix, one.filter, one.depth, one.heads) == ((4, 4), 1, quadratics(1.0, 2.0), 2, 2)
    of_tokens = 2 * 2 * 17 * 17 + 2 * 2 * 17 * 16 + 3 * 17 * 32 + 5
    assert one.nbytes == sizes.nbytes == 4 * (of_tokens + 3 * 2 * 2 * 17)
    assert trace(model, images, rows=False)[0].nbytes == 4 * of_tokens


def test_rows_of_attention_sum_to_one(make_model: MakeModel, images: Tensor) -> None:
    for one in trace(make_model(dtype=torch.float64), images.double()):
        torch.testing.assert_close(one.attention.sum(-1), torch.ones(2, 2, 17, dtype=torch.float64))
        assert one.attention.min() >= 0


def row_measures(one: Trace) -> dict[str, np.ndarray]:
    """By the definitions, in float64, from attention and values."""
    A, V = one.attention.double().numpy(), one.values.double().numpy()
    return {
        "entropy": -xlogy(A, A).sum(axis=-1),
        "smoothed": np.linalg.norm(A @ V, axis=-1),
        "smoothed_residual": np.linalg.norm(A @ (V - A @ V), axis=-1),
    }


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_rows_are_measured_in_the_pass(
    make_model: MakeModel, images: Tensor, dtype: torch.dtype, close: float, filter: Operators, count: int
) -> None:
    for one in trace(make_model(filter, dtype), images[:count].to(dtype)):
        assert one.rows is not None
        for name, expected in row_measures(one).items():
            np.testing.assert_allclose(getattr(one.rows, name).numpy(), expected, rtol=close, atol=close)
        assert attention.entropies(one) is one.rows.entropy
        assert residual.magnitudes(one).smoothed_residual is one.rows.smoothed_residual


@pytest.mark.parametrize("filter", [*FILTERS, *OPERATORS], ids=str)
def test_a_pass_without_rows_differs_in_nothing_else(make_model: MakeModel, images: Tensor, filter: Operators) -> None:
    model = make_model(filter, torch.float64)
    with_rows, without = (trace(model, images[:2].double(), rows=rows)[1] for rows in (True, False))
    assert trace_digest(with_rows) == trace_digest(without)
    assert without.rows is None
    for measure in (attention.entropies, lambda one: residual.magnitudes(one).ratio):
        torch.testing.assert_close(measure(with_rows), measure(without), rtol=1e-12, atol=1e-12)


def test_rows_of_models_that_are_sure_have_entropy_0(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight.mul_(100)
    (one,) = trace(model, images[:1])
    assert one.rows is not None
    assert one.rows.entropy.min() == 0
    np.testing.assert_allclose(one.rows.entropy.numpy(), row_measures(one)["entropy"], rtol=1e-5, atol=1e-7)


def test_first_tokens_are_the_embedding(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    with torch.no_grad():
        patches = model.patch_embed.proj(images[:1]).flatten(2).transpose(1, 2)
        expected = torch.cat([model.cls_token, patches], dim=1) + model.pos_embed
    torch.testing.assert_close(trace(model, images[:1])[0].tokens[0], expected[0])


def test_each_trace_owns_its_memory(make_model: MakeModel, images: Tensor) -> None:
    first, second, _ = trace(make_model(), images)
    before = trace_digest(second)
    with torch.inference_mode():
        assert first.rows is not None
        for tensor in (first.attention, first.values, first.tokens, first.logits, first.rows.entropy):
            tensor.zero_()
    assert trace_digest(second) == before
    assert second.rows is not None
    assert second.rows.entropy.min() > 0


def test_nothing_is_left_behind(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    weights = digest(model.state_dict().values())
    trace(model, images)
    assert_untouched(model, weights)


def test_nothing_is_left_behind_after_failure(make_model: MakeModel) -> None:
    model = make_model()
    weights = digest(model.state_dict().values())
    with pytest.raises(ExplorerError, match="40"):
        trace(model, torch.zeros(1, 3, 40, 40))
    assert_untouched(model, weights)


def test_a_trace_is_unchanged_by_100_concurrent_captures(
    make_model: MakeModel, images: Tensor, rapid_switching: None
) -> None:
    model = make_model()
    first = trace(model, images[:1])[0]
    before = trace_digest(first)
    with ThreadPoolExecutor(8) as pool:
        captures = list(pool.map(lambda i: trace(model, images[i % 3][None])[0], range(100)))
    assert trace_digest(first) == before
    assert len({trace_digest(one) for one in captures[::3]}) == 1
    assert len({trace_digest(one) for one in captures}) == 3


def test_a_model_in_training_mode_is_refused(make_model: MakeModel, images: Tensor) -> None:
    with pytest.raises(ExplorerError, match="training mode"):
        trace(make_model().train(), images)


def test_the_foreign_block_is_numbered_as_people_count(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    model.blocks[1].attn = nn.Identity()
    with pytest.raises(ExplorerError, match=r"block 2 is a Block with Identity"):
        trace(model, images)


def test_an_attention_that_was_not_made_filtered_is_refused(tiny: str, images: Tensor) -> None:
    row = registry.ARCHITECTURES[tiny]
    model = timm.create_model(row.timm_name, num_classes=5, **row.options).eval()
    with pytest.raises(ExplorerError, match=r"block 1 is a Block with Attention"):
        trace(model, images)


def test_a_block_of_another_kind_is_refused_in_words(make_model: MakeModel, images: Tensor) -> None:
    model = make_model()
    model.blocks[0] = ParallelScalingBlock(32, 2)
    with pytest.raises(ExplorerError, match=r"block 1 is a ParallelScalingBlock"):
        trace(model, images)


def test_bytes_and_sizes_come_from_the_tensors() -> None:
    one: Trace = make_trace(stochastic(2, 3, 6, 6), quadratics(1.0, 2.0))
    assert (one.depth, one.heads) == (2, 3)
    assert one.nbytes == 8 * (2 * 3 * 36 + 2 * 3 * 6 * 4 + 3 * 6 * 8 + 5)


def test_the_tiny_row_is_not_left_in_the_table() -> None:
    assert TINY not in registry.ARCHITECTURES


def test_counting_a_model_leaves_gradients_of_others_alone(
    make_model: MakeModel, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attack in another thread, while the Models page counts what a model costs."""
    counted, attacked = make_model(seed=1), make_model(seed=2)

    def gradient() -> Tensor:
        pixels = images.clone().requires_grad_()
        return torch.autograd.grad(attacked(pixels).sum(), pixels)[0]

    expected, seen = gradient(), []

    def beside(model: VisionTransformer, image: Tensor, *, rows: bool) -> list[Trace]:
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(gradient).result())
        return trace(model, image, rows=rows)

    alone = count(counted)
    monkeypatch.setattr(tracing, "trace", beside)
    assert count(counted) == alone
    torch.testing.assert_close(seen, [expected])
