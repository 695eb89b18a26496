"""What a step does: rates by layer, parts that add up to a batch, the operator's warm-up, one graph for each size."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.models.twicing import get_filter
from explorer.training import learner as learner_module
from explorer.training.batches import TrainingBatch
from explorer.training.learner import Learner
from explorer.training.recipe import Decay, Recipe
from tests.helpers import digest, quadratics

CPU = torch.device("cpu")


def batch(count: int = 4, size: int = 32, classes: int = 3, seed: int = 0) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    target = torch.softmax(3 * torch.randn(count, classes, generator=generator), dim=1)
    return TrainingBatch(torch.randn(count, 3, size, size, generator=generator), target, b"")


def test_models_of_a_run_start_from_the_same_weights_and_share_none(recipe: Recipe) -> None:
    first, second = (Learner(recipe, filter, 3, CPU).model for filter in (quadratics(1.0, 1.0), quadratics(2.0, 2.0)))
    assert digest(first.state_dict().values()) == digest(second.state_dict().values())
    assert not {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
    assert [get_filter(model) for model in (first, second)] == [quadratics(1.0, 1.0), quadratics(2.0, 2.0)]


def test_the_moving_average_has_the_filter_too(recipe: Recipe) -> None:
    assert get_filter(Learner(recipe, quadratics(1.0, 2.0), 3, CPU).ema.module) == quadratics(1.0, 2.0)


def test_rates_fall_by_layer_from_the_head_down(recipe: Recipe) -> None:
    """Head 1, block i of L `d^(L + 1 - i)`, embedding `d^(L + 1)`; vectors, positions and the token do not decay."""
    learner = Learner(replace(recipe, layer_decay=0.5), quadratics(1.0, 1.0), 3, CPU)
    names = {id(parameter): name for name, parameter in learner.model.named_parameters()}
    rates = {names[id(p)]: g["lr_scale"] for g in learner.optimizer.param_groups for p in g["params"]}
    decays = {names[id(p)]: g["weight_decay"] for g in learner.optimizer.param_groups for p in g["params"]}
    assert rates.keys() == set(names.values())
    assert (rates["head.weight"], rates["blocks.1.mlp.fc1.weight"], rates["blocks.0.attn.qkv.bias"]) == (1, 0.5, 0.25)
    assert {rates[name] for name in ("cls_token", "pos_embed", "patch_embed.proj.weight")} == {0.125}
    assert {name for name, decay in decays.items() if decay} == {
        name
        for name, parameter in learner.model.named_parameters()
        if parameter.ndim > 1 and name not in ("cls_token", "pos_embed")
    }


def test_a_step_moves_weights_by_their_layers_rates(recipe: Recipe) -> None:
    """AdamW's first step is the rate itself, whatever the gradient: what moved most is the group's rate."""
    plain = replace(recipe, layer_decay=0.5, weight_decay=0.0, drop_path=0.0)
    learner = Learner(plain, quadratics(1.0, 2.0), 3, CPU)
    before = {key: value.clone() for key, value in learner.model.state_dict().items()}
    learner.step(batch(), 0, rate=1e-3)
    moved = {key: float((value - before[key]).abs().max()) for key, value in learner.model.state_dict().items()}
    assert moved["head.bias"] == pytest.approx(1e-3, rel=0.01)
    assert moved["blocks.1.mlp.fc2.bias"] == pytest.approx(5e-4, rel=0.01)
    assert moved["blocks.0.mlp.fc2.bias"] == pytest.approx(2.5e-4, rel=0.01)


def test_parts_of_a_batch_add_up_to_the_whole(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for tokens in (10_000, 40, 17):  # of 17 an image: all four, two, one at a time
        monkeypatch.setattr(learner_module, "_TOKENS_AT_ONCE", tokens)
        learner = Learner(replace(recipe, drop_path=0.0), quadratics(2.0, 2.0), 3, CPU)
        learner.model.double()
        whole = batch()
        outcome = learner.step(TrainingBatch(whole.pixels.double(), whole.target.double(), b""), 0, rate=1e-3)
        gradients = torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None])
        states.append(torch.cat([outcome.double(), gradients]))
    for state in states[1:]:
        torch.testing.assert_close(state, states[0], rtol=1e-6, atol=1e-7)


def test_a_step_returns_cross_entropy_and_hits(recipe: Recipe) -> None:
    learner = Learner(replace(recipe, drop_path=0.0), quadratics(1.0, 2.0), 3, CPU)
    given = batch()
    with torch.no_grad():
        logits = learner.model(given.pixels)
    loss, hits = learner.step(given, 0, rate=1e-3).tolist()
    assert loss == pytest.approx(float(-(given.target * logits.log_softmax(1)).sum(1).mean()), rel=1e-5)
    assert hits == float((logits.argmax(1) == given.target.argmax(1)).float().mean())


def test_the_operator_warms_up_in_model_and_average(recipe: Recipe) -> None:
    learner = Learner(replace(recipe, operator_warmup=4), quadratics(1.0, 2.0), 3, CPU)
    learner.step(batch(), 1, rate=1e-3)
    assert (get_filter(learner.model), get_filter(learner.ema.module)) == (quadratics(1.0, 1.25), quadratics(1.0, 1.5))
    learner.step(batch(), 4, rate=1e-3)
    assert get_filter(learner.model) == get_filter(learner.ema.module) == quadratics(1.0, 2.0)


def test_before_its_warm_up_twicing_takes_the_standard_step(recipe: Recipe) -> None:
    ends = []
    for filter in (quadratics(1.0, 1.0), quadratics(2.0, 2.0)):
        learner = Learner(replace(recipe, operator_warmup=10), filter, 3, CPU)
        learner.step(batch(), 0, rate=1e-3)
        ends.append(digest(learner.model.state_dict().values()))
    assert ends[0] == ends[1]


def test_the_average_forgets_faster_in_a_decay(recipe: Recipe) -> None:
    learner = Learner(recipe, quadratics(1.0, 2.0), 3, CPU)
    learner.step(batch(), 5000, rate=1e-3)
    assert learner.ema.decay == 0.995
    learner.step(batch(), 5001, rate=1e-3, decay=Decay(5000, 20, 32))
    assert learner.ema.decay == 0.75


@pytest.mark.parametrize(
    ("filter", "fused", "calls"),
    [(quadratics(1.0, 1.0), True, 2), (quadratics(2.0, 2.0), True, 4), (quadratics(2.0, 2.0), False, 0)],
)
def test_attention_is_fused_but_on_a_cpu(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, filter: tuple[float, ...], fused: bool, calls: int
) -> None:
    """Once in a standard block, twice in a twicing block, of which there are two; explicit where that is faster."""
    learner = Learner(recipe, filter, 2, CPU)
    assert not any(block.attn.fused_attn for block in learner.model.blocks)
    for block in learner.model.blocks:
        block.attn.fused_attn = fused
    seen = []
    product = F.scaled_dot_product_attention

    def counted(*given: Tensor, **named: object) -> Tensor:
        seen.append(given)
        return product(*given, **named)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    learner.model(torch.zeros(1, 3, 32, 32))
    assert len(seen) == calls


# In a process of its own: the checks of axis annotations, which are on in tests, cannot be compiled.
_COMPILE = """
from explorer import startup
startup.import_timm()
import torch
from explorer.models import registry
from explorer.training.learner import Learner
from explorer.training.recipe import Recipe
options = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
registry.ARCHITECTURES["tiny"] = registry.Architecture("", "deit_tiny_patch16_224", (32, 32), 2, options)
graphs = []
def backend(graph, _):
    graphs.append(graph)
    return graph.forward
filters = registry.uniform_filter(2, 1.0), registry.twicing_in(2, 2, 2)
learners = [Learner(Recipe("tiny"), filter, 5, torch.device("cpu"), compiled=True) for filter in filters]
for side in (16, 32, 16, 32):
    for learner in learners:
        compiled = torch.compile(learner.model, dynamic=False, backend=backend, fullgraph=True)
        x = torch.randn(4, 3, side, side)
        reached, expected = (f(x) for f in (compiled, learner.model))
        torch.testing.assert_close(reached, expected)
        reached.sum().backward()
print(len(graphs))
"""


def test_the_models_compile_to_one_graph_for_each_size() -> None:
    """No break in a graph, the resampled position embedding included, and no third graph on the way back."""
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.stdout.strip() == "4", done.stderr[-2000:]
