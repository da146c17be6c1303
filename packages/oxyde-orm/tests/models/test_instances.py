"""Instances that the core made: no `__init__`, no `__pydantic_fields_set__`, a shared load state."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from typing import Any

import pytest
from pydantic import ConfigDict, PrivateAttr

from oxyde.exceptions import DataError, NotLoadedError
from oxyde.models import Field, Model
from oxyde.models.state import LoadState, set_state, state_of


class Customer(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str
    age: int = 0
    created: datetime = Field(db_default="now()")
    boss: Customer | None = None

    class Meta:
        is_table = True


class Secretive(Model):
    model_config = ConfigDict(extra="allow")
    id: int | None = Field(default=None, db_pk=True)
    name: str
    _log: list[str] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any) -> None:
        self._log.append(self.name)

    class Meta:
        is_table = True


NOW = datetime(2026, 1, 1)
ROW = {"id": 1, "name": "anna", "age": 30, "created": NOW, "boss_id": None}


def test_a_loaded_instance_equals_a_constructed_one(load: Any) -> None:
    loaded = load(Customer, ROW)
    assert loaded == Customer(**ROW)
    assert loaded.model_dump() == ROW
    assert loaded.boss is None
    assert "boss" not in loaded.model_dump()


def test_the_set_of_fields_is_made_when_it_is_read(load: Any) -> None:
    slot = Model.__mro__[1].__dict__["__pydantic_fields_set__"]
    for use in (
        lambda item: item.model_fields_set,
        lambda item: item.model_dump(exclude_unset=True),
        lambda item: item.model_dump_json(exclude_unset=True),
        repr,
        copy.copy,
        copy.deepcopy,
        lambda item: pickle.loads(pickle.dumps(item)),
        lambda item: item.model_copy(update={"age": 1}),
        lambda item: setattr(item, "age", 5),
        lambda item: item == Customer(**ROW),
    ):
        loaded = load(Customer, ROW)
        with pytest.raises(AttributeError):
            slot.__get__(loaded)
        use(loaded)
        assert loaded.model_fields_set == set(ROW)
    assert load(Customer, ROW).model_dump(exclude_unset=True) == ROW
    other = load(Customer, ROW)
    other.model_fields_set.add("x")
    assert load(Customer, ROW).model_fields_set == set(ROW)


def test_copies_and_pickles_keep_the_state(load: Any) -> None:
    loaded = load(Customer, ROW, alias="reports")
    assert state_of(loaded).alias == "reports"
    for made in (copy.copy(loaded), copy.deepcopy(loaded), loaded.model_copy(deep=True)):
        assert made == loaded
        assert state_of(made) is state_of(loaded)
    thawed = pickle.loads(pickle.dumps(loaded))
    state = state_of(thawed)
    assert thawed == loaded
    assert (state.alias, state.columns, state.persisted) == ("reports", frozenset(ROW), True)
    assert state_of(Customer(name="x")) is None
    assert state_of(pickle.loads(pickle.dumps(Customer(name="x")))) is None


def test_deferred_columns_raise_and_are_left_out(load: Any) -> None:
    loaded = load(Customer, {"id": 1, "name": "anna"})
    with pytest.raises(NotLoadedError, match=r"Customer\.age was not loaded: leave it out of defer\(\)"):
        loaded.age
    with pytest.raises(NotLoadedError, match=r"Customer\.boss was not loaded"):
        loaded.boss
    assert loaded.model_dump() == {"id": 1, "name": "anna"}
    assert repr(loaded) == (
        "Customer(id=1, name='anna', age=<not loaded>, created=<not loaded>, boss=<not loaded>, boss_id=<not loaded>)"
    )
    with pytest.raises(AttributeError):
        loaded.unknown
    assert loaded != load(Customer, ROW)


def test_a_column_that_the_database_fills_is_absent_until_then() -> None:
    new = Customer(name="x")
    with pytest.raises(NotLoadedError, match="filled in by the database"):
        new.created
    assert "created" not in new.model_dump()
    assert Customer(name="x", created=NOW).created == NOW
    assert "created" not in Customer.model_json_schema()["$defs"]["Customer"]["required"]
    assert "created" in Customer.model_json_schema(mode="serialization")["$defs"]["Customer"]["required"]


def test_states_are_replaced_not_changed(load: Any) -> None:
    one, two = load(Customer, ROW), load(Customer, ROW)
    set_state(one, LoadState(None, frozenset(), persisted=False))
    assert not state_of(one).persisted
    assert state_of(two).persisted


def test_private_attributes_and_post_init(load: Any) -> None:
    loaded = load(Secretive, {"id": 1, "name": "x"})
    assert loaded._log == ["x"]
    assert loaded.model_extra == {}
    loaded.more = 3
    assert loaded.model_dump() == {"id": 1, "name": "x", "more": 3}
    assert load(Secretive, {"id": 1, "name": "x"}).model_extra == {}


def test_a_bad_row_names_table_key_field_and_cause(load: Any) -> None:
    class Adult(Model):
        id: int | None = Field(default=None, db_pk=True)
        age: int = Field(ge=18, db_column="years")
        name: str

        class Meta:
            is_table = True
            table_name = "adults"

    with pytest.raises(DataError, match=r"table 'adults' \(id=7\) is not valid: Adult\.age: .*18") as caught:
        load(Adult, {"id": 7, "age": 3, "name": "x"})
    assert (caught.value.table, caught.value.column) == ("adults", "years")
    assert caught.value.__cause__.errors()[0]["loc"] == ("age",)
    with pytest.raises(DataError, match=r"Adult\.name"):
        load(Adult, {"id": 7, "age": 30, "name": None})
    assert load(Adult, {"id": 7, "age": 3, "name": None}, validate="off").age == 3


def test_rows_without_instances(load: Any) -> None:
    assert load(Customer, {"id": 1, "name": "x"}, mode="dict") == {"id": 1, "name": "x"}
    assert load(Customer, {"id": 1, "name": "x"}, mode="tuple") == (1, "x")
    assert load(Customer, {"name": "x"}, mode="scalar") == "x"
    with pytest.raises(ValueError, match="unknown result mode"):
        Customer.__oxyde__.plan_loader(None, "rows")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown validation"):
        Customer.__oxyde__.plan_loader(None, "model", "some")  # type: ignore[arg-type]


def test_columns_validate_by_themselves() -> None:
    assert Customer.__oxyde__.column("age").validate("5") == 5
    with pytest.raises(ValueError, match="1 validation error for Customer\nage\n"):
        Customer.__oxyde__.column("age").validate("x")
