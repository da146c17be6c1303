"""What `oxyde` and `oxyde.db` export is listed, exists, and is documented."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import oxyde

MODULES = ["oxyde", "oxyde.db", "oxyde.db.pool", "oxyde.db.registry", "oxyde.db.schema", "oxyde.db.transaction",
           "oxyde.exceptions"]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_everything_listed_exists_and_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert len(set(module.__all__)) == len(module.__all__)
    for exported in module.__all__:
        value = getattr(module, exported)
        assert isinstance(value, str) or value.__doc__, exported


def test_the_names_of_this_slice() -> None:
    for module, names in {
        "oxyde": "Model Field Index Check Unique Query QueryManager Q F Value col not_ RawSQL sql execute_raw db "
        "atomic AsyncDatabase PoolSettings register_connection get_connection disconnect_all create_tables drop_tables "
        "outside_transaction __version__",
        "oxyde.db": "init close connect lifespan get_connection AsyncDatabase AsyncTransaction PoolSettings "
        "TransactionTimeoutError transaction atomic get_active_transaction create_tables drop_tables "
        "register_connection unregister_connection disconnect_all",
        "oxyde.db.pool": "AsyncDatabase PoolSettings close_all_pools",
        "oxyde.db.registry": "register_connection unregister_connection get_connection disconnect_all",
    }.items():
        assert set(names.split()) <= set(importlib.import_module(module).__all__)
    assert set(importlib.import_module("oxyde.exceptions").__all__) <= set(oxyde.__all__)


def test_the_old_name_of_model() -> None:
    with pytest.warns(DeprecationWarning, match=r"oxyde\.Model"):
        assert oxyde.OxydeModel is oxyde.Model
    with pytest.raises(AttributeError, match="Modell"):
        _ = oxyde.Modell


def test_the_package_is_typed() -> None:
    assert (Path(oxyde.__file__).parent / "py.typed").exists()
