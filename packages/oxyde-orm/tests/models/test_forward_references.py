"""Names in annotations: a model's own module goes first, even where it defines the name later."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, PydanticUserError, TypeAdapter

from oxyde.models import Model
from oxyde.models.registry import assert_no_pending_models

HEADER = "from oxyde import Field, Model\n"
TABLE = """
class {name}(Model):
    id: int | None = Field(default=None, db_pk=True)
    {fields}

    class Meta:
        is_table = True
        table_name = "{table}"
"""


def table(name: str, table: str, *fields: str) -> str:
    return TABLE.format(name=name, table=table, fields="\n    ".join(fields) or "pass")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    monkeypatch.syspath_prepend(tmp_path)
    loaded: list[str] = []

    def load(name: str, *tables: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(HEADER + "".join(tables))
        loaded.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield load
    for name in loaded:
        sys.modules.pop(name, None)


def test_the_own_module_goes_before_another_one(load: Any) -> None:
    other = load("refs_other", table("Post", "other_post", "text: str = ''"))
    blog = load(
        "refs_blog",
        table("Author", "blog_author", 'posts: list["Post"] = Field(db_reverse_fk="author")'),
        table("Comment", "blog_comment", 'post: "Post | None" = None'),
        table("Post", "blog_post", "author: Author"),
    )
    assert blog.Author.__oxyde__.relations["posts"].target is blog.Post
    assert blog.Comment.__oxyde__.relations["post"].target is blog.Post
    assert other.Post is not blog.Post
    assert blog.Author._db_meta.relations["posts"].target == "refs_blog.Post"


USES: dict[str, Callable[[type[Model]], Any]] = {
    "construct": lambda model: model(author_id=1),
    "validate": lambda model: model.model_validate({"author_id": 1}),
    "adapter": lambda model: TypeAdapter(list[model]).validate_python([{"author_id": 1}]),  # type: ignore[valid-type]
    "schema": lambda model: model.model_json_schema(),
    "query": lambda model: model.objects.filter(author_id=1),  # type: ignore[attr-defined]
    "nested": lambda model: type("Nested", (BaseModel,), {"__annotations__": {"item": model}})(item={"author_id": 1}),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("first", ["target", "model"])
def test_another_module_answers_when_the_model_is_used(use: str, first: str, load: Any) -> None:
    target = table("Writer", f"refs_writer_{first}_{use}")
    model = table("Text", f"refs_text_{first}_{use}", 'author: "Writer"')
    if first == "target":
        writers = load("refs_writers", target)
        texts = load("refs_texts", model)
    else:
        texts = load("refs_texts", model)
        with pytest.raises((TypeError, PydanticUserError)):
            texts.Text(author_id=1)
        writers = load("refs_writers", target)
    assert USES[use](texts.Text) is not None
    assert texts.Text.__oxyde__.relations["author"].target is writers.Writer


def test_a_name_that_two_other_modules_have_stays_open(load: Any) -> None:
    load("refs_a", table("Thing", "refs_a_thing"))
    load("refs_b", table("Thing", "refs_b_thing"))
    load("refs_c", table("Holder", "refs_holder", 'thing: "Thing"'))
    with pytest.raises(RuntimeError, match="refs_c.Holder.*missing: Thing"):
        assert_no_pending_models()
