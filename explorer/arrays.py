"""From tensors to what figures and files take."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def array(tensor: Tensor) -> np.ndarray:
    """A tensor from any device as a NumPy array, float32."""
    return np.asarray(tensor.detach().float().cpu())
