"""The string lookups: case, Unicode and the characters that patterns are made of."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oxyde import F, FieldLookupError, Length, Lower, Upper

from .conftest import Tables
from .lanes import Lane
from .models import Word

TEXTS = (
    "plain",
    "Plain",
    "PLAIN",
    "100%",
    "100x",
    "a_b",
    "axb",
    "a\\b",
    "back\\",
    "what?",
    "star*",
    "[abc]",
    "ÄÖÜ",
    "äöü",
    "Straße",
    "STRASSE",
    "Σίσυφος",
    "ΣΊΣΥΦΟΣ",
    "ЖУК",
    "жук",
    "İstanbul",
    "𐐀",
    "𐐨",
    "e\u0301",
    "é",
    'it\'s "quoted"',
    "",
    " ",
    "line\nbreak",
)


EXPECTED = {
    "contains": lambda text, part: part in text,
    "startswith": lambda text, part: text.startswith(part),
    "endswith": lambda text, part: text.endswith(part),
    "exact": lambda text, part: text == part,
}
LOOKUPS = (*EXPECTED, *(f"i{lookup}" for lookup in EXPECTED))


def expected(lane: Lane, lookup: str, text: str, part: str) -> bool:
    """As Python says; where the case makes no difference, equal means: equal lower-case mapping."""
    if lookup in EXPECTED:
        return EXPECTED[lookup](text, part)
    lower = str.lower if lane.has("final_sigma") else lower_with_one_sigma
    return EXPECTED[lookup.removeprefix("i")](lower(text), lower(part))


def lower_with_one_sigma(text: str) -> str:
    return text.lower().replace("ς", "σ")


PARTS = (
    "",
    "plain",
    "PLAIN",
    "Pla",
    "%",
    "0%",
    "_",
    "a_",
    "\\",
    "\\b",
    "?",
    "*",
    "[",
    "[a",
    "]",
    "ä",
    "Ä",
    "öÜ",
    "ß",
    "SS",
    "жУк",
    "σ",
    "Σ",
    "𐐀",
    "𐐨",
    "\u0301",
    "e",
    "'",
    '"',
    "\n",
    " ",
)


@pytest.fixture
async def words(tables: Tables) -> None:
    await tables(Word)
    await Word.objects.bulk_create([{"text": text} for text in (*TEXTS, None)])


async def found(**lookups: object) -> list[str]:
    return await Word.objects.filter(**lookups).order_by("id").values_list("text", flat=True)


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("lookup", LOOKUPS)
async def test_as_python_says(lane: Lane, lookup: str) -> None:
    for part in PARTS:
        wanted = [text for text in TEXTS if expected(lane, lookup, text, part)]
        assert await found(**{f"text__{lookup}": part}) == wanted, part


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize("lookup", LOOKUPS)
async def test_of_a_column(lane: Lane, lookup: str) -> None:
    """The pattern may be a column as well, and its `%` and `_` are as literal as those of a value."""
    wanted = [text for text in TEXTS if expected(lane, lookup, text, text)]
    assert await found(**{f"text__{lookup}": F("text")}) == wanted


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6), max_size=8),
    st.data(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_property(words: None, lane: Lane, texts: list[str], data: st.DataObject) -> None:
    await Word.objects.delete()
    await Word.objects.bulk_create([{"text": text} for text in texts])
    part = data.draw(
        st.text("aA%_\\ßİıſΣσς𐐀𐐨*?[", max_size=3) | st.sampled_from([*texts, *map(str.swapcase, texts), "x"])
    )
    for lookup in LOOKUPS:
        wanted = [text for text in texts if expected(lane, lookup, text, part)]
        assert await found(**{f"text__{lookup}": part}) == wanted, lookup


@pytest.mark.usefixtures("words")
async def test_like() -> None:
    assert await found(text__like="100%") == ["100%", "100x"]
    assert await found(text__like="100\\%") == ["100%"]
    assert await found(text__like="a_b") == ["a_b", "axb", "a\\b"]
    assert await found(text__like="a\\_b") == ["a_b"]
    assert await found(text__like="a\\\\b") == ["a\\b"]
    assert await found(text__like="plain") == ["plain"]
    assert await found(text__like="%LAIN") == ["PLAIN"]
    assert await found(text__like="_") == ["𐐀", "𐐨", "é", " "], "one character, not one unit"
    assert await found(text__like="line%break") == ["line\nbreak"]
    assert await found(text__like="") == [""]
    assert await found(text__ilike="p%N") == ["plain", "Plain", "PLAIN"]
    assert await found(text__ilike="ä_ü") == ["ÄÖÜ", "äöü"]
    assert await found(text__ilike="жук") == ["ЖУК", "жук"]


@pytest.mark.usefixtures("words")
async def test_regular_expressions() -> None:
    assert await found(text__regex="^[pP]lain$") == ["plain", "Plain"]
    assert await found(text__regex="^a.b$") == ["a_b", "axb", "a\\b"]
    assert await found(text__iregex="^plain$") == ["plain", "Plain", "PLAIN"]
    assert await found(text__regex="[0-9]+%") == ["100%"]


@pytest.mark.usefixtures("words")
async def test_text_functions_know_all_of_unicode() -> None:
    assert await Word.objects.filter(Lower("text") == "äöü").count() == 2
    assert await Word.objects.filter(Upper("text") == "ЖУК").count() == 2
    assert await Word.objects.filter(Length("text") == 0).count() == 1
    assert sorted(await Word.objects.filter(Length("text") == 1).values_list("text", flat=True)) == sorted(
        text for text in TEXTS if len(text) == 1
    )


def test_only_texts_have_them() -> None:
    with pytest.raises(FieldLookupError, match="'icontains' is not supported for field 'id'"):
        Word.objects.filter(id__icontains="1")
