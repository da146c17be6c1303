from __future__ import annotations

from collections.abc import Iterator

import pytest

from .connecting import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True, scope="module")
def no_leaks() -> Iterator[None]:
    """A socket that is not closed is a ResourceWarning, and warnings are errors."""
    yield
    import gc

    gc.collect()
