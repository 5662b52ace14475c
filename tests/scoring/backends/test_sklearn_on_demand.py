"""scikit-learn is not imported for a function that is only named, and is itself again afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_pmpo.scoring.backends.sklearn_on_demand import sklearn_on_demand


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scikit-learn whose metrics are two small functions."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "sklearn" / "metrics"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text(
        "from .pairwise import distance\ndef roc_curve(a, *, b): return a + b\ndef f1_score(): return 1\n"
    )
    (package / "pairwise.py").write_text("def distance(): return 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("sklearn", "sklearn.metrics", "sklearn.metrics.pairwise"):
        monkeypatch.setitem(sys.modules, name, None)  # so that what the test imports is forgotten again
        del sys.modules[name]


def test_a_function_that_is_only_named_imports_nothing() -> None:
    with sklearn_on_demand():
        from sklearn.metrics import roc_curve
    assert not [name for name in sys.modules if name.partition(".")[0] == "sklearn"]
    assert roc_curve(1, b=2) == 3
    import sklearn.metrics

    assert sklearn.metrics.roc_curve is not roc_curve


def test_another_name_loads_the_real_module() -> None:
    with sklearn_on_demand():
        from sklearn.metrics import f1_score

        assert f1_score() == 1
    assert sys.modules["sklearn.metrics"].f1_score is f1_score


def test_a_module_below_it_can_be_imported() -> None:
    with sklearn_on_demand():
        from sklearn.metrics.pairwise import distance

        assert distance() == 2
    assert sys.modules["sklearn.metrics"].f1_score() == 1


def test_a_name_it_does_not_have_is_an_import_error() -> None:
    with sklearn_on_demand(), pytest.raises(ImportError):
        from sklearn.metrics import nothing_of_the_kind  # noqa: F401


def test_a_module_that_is_loaded_already_stays() -> None:
    import sklearn.metrics as real

    with sklearn_on_demand():
        from sklearn.metrics import roc_curve
    assert roc_curve is real.roc_curve
    assert sys.modules["sklearn.metrics"] is real


def test_an_error_within_the_block_puts_it_back() -> None:
    with pytest.raises(KeyError), sklearn_on_demand():
        raise KeyError
    assert "sklearn.metrics" not in sys.modules
