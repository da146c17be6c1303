"""Foreign keys: two spellings of one column, kept in step; what is not loaded is not None."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, field_validator
from pydantic import Field as PlainField

from oxyde.exceptions import FieldError, NotLoadedError
from oxyde.models import Field, Model


class Company(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = ""

    class Meta:
        is_table = True


class Author(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = "anna"
    company: Company | None = Field(default=None, db_on_delete="SET NULL")
    posts: list[Post] = Field(db_reverse_fk="author")

    class Meta:
        is_table = True


class Post(Model):
    id: int | None = Field(default=None, db_pk=True)
    title: str
    author: Author

    class Meta:
        is_table = True


class Checked(Model):
    model_config = ConfigDict(validate_assignment=True)
    id: int | None = Field(default=None, db_pk=True)
    title: str = "t"
    author: Author
    editor: Author | None = None

    class Meta:
        is_table = True


def test_both_spellings_mean_the_same_column() -> None:
    author = Author(id=3)
    assert Post(title="t", author=author).author_id == 3
    assert Post(title="t", author_id=3).author_id == 3
    assert Post(title="t", author=author, author_id=3).author is author
    assert list(Post.model_fields) == ["id", "title", "author", "author_id"]


def test_a_conflict_is_an_error_that_names_the_column() -> None:
    with pytest.raises(ValidationError) as caught:
        Post(title="t", author=Author(id=3), author_id=4)
    assert caught.value.errors()[0]["loc"] == ("author_id",)
    assert caught.value.errors()[0]["type"] == "relation_conflict"
    with pytest.raises(ValidationError, match="relation_conflict"):
        Author(company=None, company_id=3)


def test_a_required_relation_is_required_in_either_spelling() -> None:
    with pytest.raises(ValidationError) as caught:
        Post(title="t")  # type: ignore[call-arg]
    assert [(item["type"], item["loc"]) for item in caught.value.errors()] == [("missing", ("author_id",))]


def test_an_optional_relation_defaults_to_none() -> None:
    author = Author()
    assert author.company is None
    assert author.company_id is None
    assert Author(company=Company(id=1)).company_id == 1


def test_what_is_not_loaded_raises_with_the_text_to_add() -> None:
    post = Post(title="t", author_id=3)
    with pytest.raises(NotLoadedError, match=r'Post\.author was not loaded: add \.join\("author"\)'):
        post.author
    with pytest.raises(NotLoadedError, match=r'Author\.posts was not loaded: add \.prefetch\("posts"\)'):
        Author().posts
    assert not issubclass(NotLoadedError, AttributeError)
    assert Author(company_id=None).company is None


def test_dumps_leave_out_what_is_not_loaded() -> None:
    post = Post(title="t", author_id=3)
    assert post.model_dump() == {"id": None, "title": "t", "author_id": 3}
    assert post.model_dump_json() == '{"id":null,"title":"t","author_id":3}'
    assert Post(title="t", author=Author(id=3, company_id=5)).model_dump()["author"] == {
        "id": 3,
        "name": "anna",
        "company_id": 5,
    }
    assert repr(post) == "Post(id=None, title='t', author=<not loaded>, author_id=3)"
    assert repr(Author()) == "Author(id=None, name='anna', company=None, company_id=None, posts=<not loaded>)"


def test_from_attributes_does_not_turn_it_into_none() -> None:
    class AuthorRead(BaseModel):
        name: str

    class PostRead(BaseModel):
        model_config = ConfigDict(from_attributes=True)
        title: str
        author: AuthorRead | None = PlainField(default=None)

    with pytest.raises((NotLoadedError, ValidationError), match="was not loaded"):
        PostRead.model_validate(Post(title="t", author_id=3))


def test_assignment_keeps_both_in_step() -> None:
    post = Post(title="t", author_id=3)
    post.author = Author(id=7)
    assert post.author_id == 7
    post.author_id = 7
    assert post.author.id == 7
    post.author_id = 8
    with pytest.raises(NotLoadedError):
        post.author
    author = Author(company=Company(id=1))
    author.company = None
    assert (author.company_id, author.company) == (None, None)
    assert {"company", "company_id"} <= author.model_fields_set


def test_an_object_of_another_model_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a Author or None, not Company"):
        Post(title="t", author_id=1).author = Company(id=1)  # type: ignore[assignment]


def test_assignment_with_validation() -> None:
    item = Checked(author_id=3)
    item.title = "other"
    assert item.author_id == 3
    item.author = Author(id=7)
    assert item.author_id == 7
    item.author_id = 9
    with pytest.raises(NotLoadedError):
        item.author
    item.editor = Author(id=1)
    assert item.editor_id == 1
    with pytest.raises(ValidationError):
        item.author_id = "x"
    assert item.author_id == 9


def test_an_unsaved_object_gives_its_key_later() -> None:
    author = Author()
    post = Post(title="t", author=author)
    with pytest.raises(NotLoadedError, match="not saved"):
        post.author_id
    author.id = 5
    assert post.author_id == 5


def test_lists_are_refused_by_the_constructor_and_by_assignment() -> None:
    with pytest.raises(ValidationError, match="cannot be given"):
        Author(posts=[])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"relation\(obj"):
        Author().posts = []
    author = Author()
    author.__dict__["posts"] = [Post(title="t", author_id=1)]
    author.name = "b"
    assert author.posts[0].title == "t"


def test_nested_models_are_settled_too() -> None:
    class Page(BaseModel):
        post: Post
        more: list[Post] = []

    page = Page.model_validate({"post": {"title": "t", "author_id": 3}, "more": [{"title": "u", "author": {"id": 4}}]})
    assert page.post.author_id == 3
    assert page.more[0].author_id == 4
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Page).validate_json('{"post": {"title": "t"}}')
    assert caught.value.errors()[0]["loc"] == ("post", "author_id")


def test_declared_key_field() -> None:
    class Note(Model):
        id: int | None = Field(default=None, db_pk=True)
        author: Author = Field(default=...)
        author_id: int = Field(default=..., ge=1)

        class Meta:
            is_table = True

    assert list(Note.model_fields) == ["id", "author", "author_id"]
    assert Note(author=Author(id=2)).author_id == 2
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Note(author_id=0)

    with pytest.raises(FieldError, match="must both be Optional or neither"):

        class Other(Model):
            id: int | None = Field(default=None, db_pk=True)
            author: Author
            author_id: int | None = None

            class Meta:
                is_table = True

    with pytest.raises(FieldError, match=r"Wrong\.author_id is string, but its target Author\.id is big_integer"):

        class Wrong(Model):
            id: int | None = Field(default=None, db_pk=True)
            author: Author
            author_id: str

            class Meta:
                is_table = True


def test_declared_key_with_a_default() -> None:
    class Note(Model):
        id: int | None = Field(default=None, db_pk=True)
        author: Author
        author_id: int = 1

        class Meta:
            is_table = True

    assert Note().author_id == 1
    assert Note(author=Author(id=4)).author_id == 4


def test_keys_of_other_types_and_targets() -> None:
    class Token(Model):
        id: UUID = Field(default_factory=uuid4, db_pk=True)
        code: str = Field(db_unique=True, max_length=7)

        class Meta:
            is_table = True

    class Use(Model):
        id: int | None = Field(default=None, db_pk=True)
        token: Token
        by_code: Token | None = Field(default=None, db_fk="code")

        class Meta:
            is_table = True

    token = Token(code="abc")
    use = Use(token=token, by_code=token)
    assert use.token_id == token.id
    assert use.by_code_code == "abc"
    assert Use.__oxyde__.column("by_code").type == ("string", 7)
    with pytest.raises(ValidationError, match="at most 7 characters"):
        Use(token=token, by_code_code="12345678")


def test_a_key_that_is_a_relation() -> None:
    class Profile(Model):
        author: Author = Field(db_pk=True)

        class Meta:
            is_table = True

    class Picture(Model):
        id: int | None = Field(default=None, db_pk=True)
        profile: Profile

        class Meta:
            is_table = True

    assert [column.name for column in Profile.__oxyde__.pk] == ["author_id"]
    assert Picture(profile=Profile(author_id=4)).profile_author_id == 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"other": "Plain"}, "Plain is no table"),
        ({"other": "list[Author]"}, "db_reverse_fk"),
        ({"other": "Composite"}, r"has the composite key \(a, b\)"),
        ({"other": "Keyless"}, "has no primary key"),
    ],
)
def test_relations_that_cannot_be(body: dict[str, str], message: str) -> None:
    class Plain(Model):
        id: int

    class Keyless(Model):
        name: str

        class Meta:
            is_table = True

    class Composite(Model):
        a: int = Field(db_pk=True)
        b: int = Field(db_pk=True)

        class Meta:
            is_table = True

    kinds: dict[str, Any] = {
        "Plain": Plain,
        "list[Author]": list[Author],
        "Composite": Composite,
        "Keyless": Keyless,
    }
    meta = type("Meta", (), {"is_table": True, "__module__": __name__, "__qualname__": "Bad.Meta"})
    namespace = {"__module__": __name__, "__qualname__": "Bad", "__annotations__": {"other": kinds[body["other"]]}}
    with pytest.raises(FieldError, match=message):
        type(Model)("Bad", (Model,), {**namespace, "Meta": meta})


def test_copies_and_pickles() -> None:
    post = Post(title="t", author=Author(id=3))
    for made in (copy.copy(post), copy.deepcopy(post), pickle.loads(pickle.dumps(post)), post.model_copy()):
        assert made == post
        assert made.author_id == 3
    assert post.model_copy(update={"author": Author(id=4)}).author_id == 4
    with pytest.raises(NotLoadedError):
        post.model_copy(update={"author_id": 5}).author


def test_model_construct() -> None:
    assert Post.model_construct(title="t", author=Author(id=3)).author_id == 3
    author = Author.model_construct(company_id=4)
    with pytest.raises(NotLoadedError):
        author.company


def test_validators_of_the_model_see_the_key() -> None:
    class Strict(Model):
        id: int | None = Field(default=None, db_pk=True)
        author: Author

        @field_validator("author_id", check_fields=False)
        @classmethod
        def positive(cls, value: int) -> int:
            if value < 1:
                raise ValueError("negative")
            return value

        class Meta:
            is_table = True

    with pytest.raises(ValidationError, match="negative"):
        Strict(author_id=-1)


def test_json_schemas() -> None:
    making = Post.model_json_schema()
    assert making["required"] == ["title", "author_id"]
    reading = Post.model_json_schema(mode="serialization")
    post = reading["$defs"]["Post"]
    assert post["required"] == ["title", "author_id"]
    assert "posts" in reading["$defs"]["Author"]["properties"]
    assert "posts" not in Author.model_json_schema()["properties"]


def test_subclass_table_has_a_key_of_its_own() -> None:
    class Base(Model):
        owner: Author

    class Item(Base):
        id: int | None = Field(default=None, db_pk=True)

        class Meta:
            is_table = True

    class SubItem(Item):
        class Meta:
            is_table = True
            table_name = "sub"

    assert Item(owner_id=1).owner_id == 1
    assert SubItem(owner=Author(id=2)).owner_id == 2
    assert [column.name for column in SubItem.__oxyde__.columns] == ["owner_id", "id"]
