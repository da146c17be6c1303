"""A database's pool of connections, under the import path of Oxyde 0.x."""

from __future__ import annotations

from .database import AsyncDatabase
from .registry import close_all_pools
from .settings import PoolSettings

__all__ = ["AsyncDatabase", "PoolSettings", "close_all_pools"]
