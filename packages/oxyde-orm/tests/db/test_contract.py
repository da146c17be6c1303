from __future__ import annotations

from types import SimpleNamespace

import pytest

import oxyde_core
from oxyde import _contract


def test_our_core_is_taken() -> None:
    _contract.check(oxyde_core)


@pytest.mark.parametrize(
    ("core", "message"),
    [
        (SimpleNamespace(), "belongs to another project"),
        (SimpleNamespace(MARKER="else", IR_VERSION=1, __file__="/x.py"), "/x.py belongs to another project"),
        (SimpleNamespace(MARKER=_contract.MARKER, IR_VERSION=99), "version 99"),
    ],
)
def test_others_are_refused_with_the_fix(core: object, message: str) -> None:
    with pytest.raises(ImportError, match=message) as raised:
        _contract.check(core)
    assert "--find-links" in str(raised.value)
