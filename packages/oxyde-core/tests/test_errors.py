"""The tree of errors: its shape, and that every class survives pickling and copying."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from oxyde_core import errors
from oxyde_core.errors import DatabaseError, OxydeError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def drawn_tree() -> dict[str, str]:
    """Read class → parent from the drawing in the module's docstring."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"    ([ │├└─]*)(\w+)", line)
        if found and found[2] in errors.__all__:
            depth = len(found[1]) // 3
            path[depth:] = [found[2]]
            if depth:
                parents[found[2]] = path[depth - 1]
    return parents


def test_the_drawing_is_the_tree() -> None:
    assert drawn_tree() == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES if cls is not OxydeError}


def test_everything_is_exported() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, OxydeError)
    }
    assert defined == set(errors.__all__)
    assert sorted(errors.__all__) == list(errors.__all__)


@pytest.mark.parametrize("cls", CLASSES)
def test_pickle_and_copy(cls: type[OxydeError]) -> None:
    error = cls("it happened")
    if isinstance(error, DatabaseError):
        error = cls("it happened", sqlstate="23505", code=2067, table="t", column="c", constraint="k", detail="d",
                    hint="h", query="SELECT ?", retryable=True, outcome="unknown")  # fmt: skip
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_says_whether_to_retry(cls: type[OxydeError]) -> None:
    error = cls("x")
    assert error.retryable is False
    assert error.outcome == ("unknown" if cls is errors.CommitUnknownError else "not_applied")


def test_timeouts_are_timeouts_and_not_loaded_is_no_attribute_error() -> None:
    timeouts = {cls.__name__ for cls in CLASSES if issubclass(cls, TimeoutError)}
    assert timeouts == {"PoolTimeoutError", "QueryTimeoutError", "TransactionTimeoutError"}
    assert not issubclass(errors.NotLoadedError, AttributeError)


def test_detail_is_not_in_the_message() -> None:
    assert "secret" not in str(DatabaseError("duplicate key", detail="Key (email)=(secret) already exists"))
    with pytest.raises(TypeError):
        DatabaseError("x", None)  # type: ignore[misc]
