"""Q: combining, building deep and long trees, and its repr."""

from __future__ import annotations

from typing import Any

import pytest

from oxyde.exceptions import FieldError
from oxyde.queries import F, Q, not_

EQ_ID = ("cmp", "eq", ("col", "id"), ("param", "big_integer"))
EQ_VIEWS = ("cmp", "eq", ("col", "views"), ("param", "big_integer"))


def where(model: Any, *conditions: Any) -> tuple[Any, tuple[Any, ...]]:
    query = model.objects.filter(*conditions)
    return query._where, query._params


def test_operators(models: Any) -> None:
    a, b, c = Q(id=1), Q(views=2), Q(id=3)
    assert where(models.Post, a & b) == (("and", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(models.Post, a | b) == (("or", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(models.Post, a ^ b) == (("xor", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(models.Post, ~a) == (("not", EQ_ID), (1,))
    assert where(models.Post, ~~a) == (EQ_ID, (1,))
    assert where(models.Post, a | b | c) == (("or", EQ_ID, EQ_VIEWS, EQ_ID), (1, 2, 3))
    assert where(models.Post, a | (b | c)) == (("or", EQ_ID, EQ_VIEWS, EQ_ID), (1, 2, 3))
    assert where(models.Post, a & (b | c)) == (("and", EQ_ID, ("or", EQ_VIEWS, EQ_ID)), (1, 2, 3))
    assert where(models.Post, (a & b) | c) == (("or", ("and", EQ_ID, EQ_VIEWS), EQ_ID), (1, 2, 3))
    assert where(models.Post, ~(a & b) | c) == (("or", ("not", ("and", EQ_ID, EQ_VIEWS)), EQ_ID), (1, 2, 3))
    assert where(models.Post, a ^ b ^ c) == (("xor", ("xor", EQ_ID, EQ_VIEWS), EQ_ID), (1, 2, 3))


def test_leaves_hold_several_conditions(models: Any) -> None:
    assert where(models.Post, Q(models.Post.id == 1, views=2) | Q(id=3)) == (
        ("or", ("and", EQ_ID, EQ_VIEWS), EQ_ID),
        (1, 2, 3),
    )
    assert where(models.Post, Q(id=1, views=2)) == (("and", EQ_ID, EQ_VIEWS), (1, 2))


def test_typed_conditions_mix_with_q(models: Any) -> None:
    Post = models.Post
    assert where(Post, (Post.id == 1) & Q(views=2)) == (("and", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(Post, Q(id=1) | (Post.views == 2)) == (("or", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(Post, (Post.id == 1) ^ (Post.views == 2)) == (("xor", EQ_ID, EQ_VIEWS), (1, 2))
    assert where(Post, ~(Post.id == 1)) == (("not", EQ_ID), (1,))
    assert where(Post, not_(Post.id == 1)) == (("not", EQ_ID), (1,))


def test_empty_q_is_neutral(models: Any) -> None:
    assert where(models.Post, Q()) == (None, ())
    assert where(models.Post, ~Q()) == (None, ())
    assert where(models.Post, Q() | Q(id=1)) == (EQ_ID, (1,))
    assert where(models.Post, Q(id=1) & Q()) == (EQ_ID, (1,))
    assert where(models.Post, ~(Q() & Q()) | Q(id=1)) == (EQ_ID, (1,))


def test_ten_thousand_conditions(models: Any) -> None:
    left, right, chain = Q(), Q(), models.Post.objects.filter()
    for i in range(10_000):
        left = left | Q(id=i)
        right = Q(id=i) & right
    for condition, tag in ((left, "or"), (right, "and")):
        node, params = where(models.Post, condition)
        assert node[0] == tag
        assert len(node) == 10_001
        assert len(params) == 10_000
        hash(node)
        assert len(repr(condition)) > 10_000
    for i in range(2_000):
        chain = chain.filter(id=i)
    assert len(chain._where) == 2_001


def test_long_xor_chains_do_not_nest(models: Any) -> None:
    condition = Q(id=0)
    for i in range(1, 10_000):
        condition = condition ^ Q(id=i)
    node, params = where(models.Post, condition)
    assert params == tuple(range(10_000))
    depth = 0
    while node[0] == "xor":
        node, depth = node[1], depth + 1
    assert depth <= 14


def test_nesting_past_the_limit_is_a_clear_error(models: Any) -> None:
    condition = Q(id=0)
    for i in range(10_000):
        condition = ~((condition | Q(id=i)) & Q(views=i))
    with pytest.raises(FieldError, match="nested more than"):
        models.Post.objects.filter(condition)
    assert repr(condition).startswith("~((~((")
    expression: Any = F("views")
    with pytest.raises(FieldError, match="nested more than"):
        for _ in range(1_000):
            expression = expression + 1


def test_negations_cancel(models: Any) -> None:
    condition = Q(id=1)
    for _ in range(10_000):
        condition = ~condition
    assert where(models.Post, condition) == (EQ_ID, (1,))


@pytest.mark.parametrize(
    ("q", "text"),
    [
        (Q(a=1), "Q(a=1)"),
        (Q(a=1, b="x"), "Q(a=1, b='x')"),
        (Q(), "Q()"),
        (Q(a=1) & Q(b=2), "(Q(a=1) AND Q(b=2))"),
        (Q(a=1) & Q(b=2) & Q(c=3), "(Q(a=1) AND Q(b=2) AND Q(c=3))"),
        (Q(a=1) | Q(b=2) & Q(c=3), "(Q(a=1) OR (Q(b=2) AND Q(c=3)))"),
        (~Q(a=1), "~Q(a=1)"),
        (~(Q(a=1) ^ Q(b=2)), "~(Q(a=1) XOR Q(b=2))"),
        (Q(F("a") > 1), "Q(F('a') > <int>)"),
    ],
)
def test_repr(q: Q, text: str) -> None:
    assert repr(q) == text


@pytest.mark.parametrize(
    ("wrong", "hint"), [(True, "plain bool"), ({"a": 1}, "unpack"), ("a", "a str"), (None, "a NoneType")]
)
def test_what_is_no_condition(models: Any, wrong: Any, hint: str) -> None:
    with pytest.raises(TypeError, match=hint):
        Q(wrong)
    with pytest.raises(TypeError, match=hint):
        models.Post.objects.filter(wrong)
    with pytest.raises(TypeError, match=hint):
        Q(a=1) & wrong


def test_truth_value_is_refused() -> None:
    with pytest.raises(TypeError, match=r"& \| ~"):
        bool(Q(a=1))
    with pytest.raises(TypeError, match=r"& \| ~"):
        Q(a=1) and Q(b=2)
