"""What can be imported, and from where. A name is public because it is listed here; adding one is a decision."""

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import oxyde

EXPORTS = {
    "oxyde": """
        AsyncConnection AsyncDatabase AsyncTransaction Check F Field Index Model Q Query QueryManager
        Notification
        PoolSettings Range Unique advisory_lock atomic col create_tables db disconnect_all drop_tables execute_raw
        iterate_raw
        get_active_transaction get_connection not_ outside_transaction register_connection
        unregister_connection __version__
    """,
    "oxyde.db": """
        AsyncConnection AsyncDatabase AsyncTransaction Notification PoolSettings TransactionTimeoutError
        advisory_lock atomic close connect create_tables
        disconnect_all drop_tables get_active_transaction get_connection init lifespan register_connection
        transaction unregister_connection
    """,
    "oxyde.db.transaction": """
        AsyncTransaction AtomicTransactionContext TransactionTimeoutError atomic get_active_transaction
    """,
    "oxyde.db.pool": "AsyncDatabase PoolSettings close_all_pools",
    "oxyde.db.registry": "disconnect_all get_connection register_connection unregister_connection",
    "oxyde.db.schema": "create_tables drop_tables",
    "oxyde.exceptions": """
        CheckViolationError CommitUnknownError ConnectError ConnectionLostError DataError DatabaseError
        DeadlockError ExclusionViolationError FieldError FieldLookupError FieldLookupValueError
        ForeignKeyViolationError IntegrityError InternalError LockTimeoutError ManagerError
        MultipleObjectsReturned NotFoundError NotLoadedError NotNullViolationError NotSupportedError
        OperationalError OxydeError PoolTimeoutError ProgrammingError QueryTimeoutError SerializationError
        TransactionBrokenError TransactionClosedError TransactionError TransactionRolledBackError
        TransactionTaskError TransactionTimeoutError UniqueViolationError
    """,
    "oxyde.models": """
        Check Field Index Model OxydeFieldInfo Unique clear_registry iter_tables register_table
        registered_tables unregister_table
    """,
    "oxyde.models.registry": """
        assert_no_pending_models clear_registry finalize_pending iter_tables register_table registered_tables
        unregister_table
    """,
    "oxyde.models.field": "Field OxydeFieldInfo",
    "oxyde.models.decorators": "Check Index Unique",
    "oxyde.models.metadata": "ColumnMeta ForeignKeyInfo ModelMeta RelationInfo",
    "oxyde.queries": "F Q Query QueryManager execute_raw iterate_raw",
    "oxyde.schema": "describe",
}


@pytest.mark.parametrize("module", sorted(EXPORTS))
def test_the_documented_names_are_there_and_listed(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in EXPORTS[module].split():
        assert name in loaded.__all__, f"{module}.__all__ lacks {name}"
        assert hasattr(loaded, name), f"{module} lacks {name}"


def test_the_top_re_exports_every_exception() -> None:
    import oxyde.exceptions

    for name in oxyde.exceptions.__all__:
        assert getattr(oxyde, name) is getattr(oxyde.exceptions, name)
        assert name in oxyde.__all__


def modules() -> list[str]:
    return ["oxyde", *(found.name for found in pkgutil.walk_packages(oxyde.__path__, "oxyde."))]


@pytest.mark.parametrize("name", modules())
def test_every_name_in_all_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed))
    for exported in listed:
        assert hasattr(module, exported), f"{name}.__all__ lists {exported}, which is not there"


@pytest.mark.parametrize("name", sorted(EXPORTS))
def test_every_public_name_is_explained(name: str) -> None:
    module = importlib.import_module(name)
    missing = []
    for exported in module.__all__:
        value = getattr(module, exported)
        if isinstance(value, ModuleType) or inspect.isclass(value) or inspect.isroutine(value):
            documented = inspect.getdoc(value)
            inherited = inspect.isclass(value) and value.__doc__ is None
            if not documented or inherited:
                missing.append(exported)
    assert not missing


def test_the_old_name_of_model_warns() -> None:
    with pytest.warns(DeprecationWarning, match="Model"):
        assert oxyde.OxydeModel is oxyde.Model
