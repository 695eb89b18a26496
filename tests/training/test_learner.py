"""What a step runs: fused attention in both models, and one compiled graph for each model and size."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.training.learner import Recipe, both


@pytest.mark.parametrize(("variant", "calls"), [("standard", 2), ("twicing", 4)])
def test_attention_is_fused_in_training(tiny: str, monkeypatch: pytest.MonkeyPatch, variant: str, calls: int) -> None:
    """Once in a standard block, twice in a twicing block, of which there are two."""
    learners = both(Recipe(tiny, (2.0, 2.0)), 2, 1, torch.device("cpu"))
    seen = []
    fused = F.scaled_dot_product_attention

    def counted(*given: Tensor, **told: object) -> Tensor:
        seen.append(given)
        return fused(*given, **told)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    learners[variant].model.train()
    learners[variant].model(torch.zeros(1, 3, 32, 32))
    assert len(seen) == calls


# In a process of its own: the checks of axis annotations, which are on in tests, cannot be compiled.
_COMPILE = """
from explorer import lean
lean.import_timm()
import torch
from explorer.models import registry
from explorer.training.learner import Recipe, both
options = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
registry.ARCHITECTURES["tiny"] = registry.Architecture("", "deit_tiny_patch16_224", (32, 32), 2, options)
graphs = []
def backend(graph, _):
    graphs.append(graph)
    return graph.forward
learners = both(Recipe("tiny", (1.0, 2.0), compile=True, drop_path=0.0), 5, 1, torch.device("cpu"))
for side in (16, 32, 16, 32):
    for learner in learners.values():
        compiled = torch.compile(learner.model, dynamic=False, backend=backend, fullgraph=True)
        x = torch.randn(4, 3, side, side)
        found, expected = (f(x) for f in (compiled, learner.model))
        torch.testing.assert_close(found, expected)
        found.sum().backward()
print(len(graphs))
"""


def test_the_models_compile_to_one_graph_for_each_size() -> None:
    """No break in a graph, the resampled position embedding included, and no third graph on the way back."""
    done = subprocess.run(
        [sys.executable, "-c", _COMPILE], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert done.stdout.strip() == "4", done.stderr[-2000:]
