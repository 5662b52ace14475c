"""Fused norms, activations and rotary embeddings of the published ``liger-kernel`` package, where it is installed.

A decoder's elementwise steps are bound by memory: eager torch reads and writes a row up to ten times where one pass
would do, a third of the time of a 7B model on a current GPU. Liger's kernels do one pass. They serve CUDA only, so what
Liger changes in transformers' modules (for models built later) is put back; the rotary embedding, a module's function
and no method, is chosen by device instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor

_ROTARY = "apply_rotary_pos_emb"


def fuse(model: Any) -> bool:
    """Give a model on CUDA fused kernels; False where Liger is missing or does not know its family."""
    if model.device.type != "cuda":
        return False
    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN, _apply_liger_kernel_to_instance
    except ImportError:
        return False
    if model.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        return False
    module = sys.modules[type(model).__module__]
    before = dict(vars(module))
    _apply_liger_kernel_to_instance(model, cross_entropy=False, fused_linear_cross_entropy=False)
    after = dict(vars(module))
    for name, value in before.items():
        if after.get(name) is not value:
            setattr(module, name, _by_device(after[name], value) if name == _ROTARY else value)
    return True


def _by_device(fused: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    def rotate(q: Tensor, *rest: Any, **options: Any) -> Any:
        return (fused if q.is_cuda else plain)(q, *rest, **options)

    return rotate
