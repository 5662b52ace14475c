"""Fused norms, activations and rotary embeddings of the published ``liger-kernel`` package, where it is installed.

A decoder's elementwise steps are bound by memory: eager torch reads and writes a row up to ten times where one pass
would do, a third of the time of a 7B model on a current GPU. Liger's kernels do one pass. They serve CUDA only, so what
Liger changes in transformers' modules (for models built later) is put back; the rotary embedding, a module's function
and no method, is chosen by device instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
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
    put_back(module, before)
    return True


def put_back(module: Any, before: Mapping[str, Any]) -> None:
    """Give a module's names the values they had ``before``, and a rotary function its fused one for CUDA.

    The rotary function is wrapped for the first model of a family; later ones find it so.
    """
    for name, value in before.items():
        now = vars(module)[name]
        if now is not value:
            once = name == _ROTARY and not isinstance(value, _ByDevice)
            setattr(module, name, _ByDevice(now, value) if once else value)


class _ByDevice:
    """A rotary function that is ``fused`` for tensors on CUDA and ``plain`` for others."""

    def __init__(self, fused: Callable[..., Any], plain: Callable[..., Any]) -> None:
        self._fused, self._plain = fused, plain

    def __call__(self, q: Tensor, *rest: Any, **options: Any) -> Any:
        return (self._fused if q.is_cuda else self._plain)(q, *rest, **options)
