"""The shop's tables. Each class is a Pydantic model first: what cannot be valid cannot be constructed."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime

from oxyde import Check, Field, Index, Model


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    SHIPPED = "shipped"


class Customer(Model):
    id: int | None = Field(default=None, db_pk=True)
    name: str = Field(min_length=1, max_length=80)
    email: str = Field(db_unique=True, max_length=120)
    city: str = Field(db_index=True, max_length=40)
    since: datetime

    class Meta:
        is_table = True
        table_name = "quickstart_customer"


class Product(Model):
    id: int | None = Field(default=None, db_pk=True)
    sku: str = Field(db_unique=True, max_length=12)
    name: str = Field(max_length=80)
    category: str = Field(max_length=20)
    price: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    stock: int = Field(default=0, ge=0)
    tags: list[str] = Field(default_factory=list)

    class Meta:
        is_table = True
        table_name = "quickstart_product"
        indexes: ClassVar = [Index(["category", "price"])]
        # Pydantic's `ge=0` guards every object; the database guards what is computed there (`F("stock") - 1`).
        constraints: ClassVar = [Check("stock >= 0", name="stock_is_never_negative")]


class Order(Model):
    id: int | None = Field(default=None, db_pk=True)
    customer: Customer = Field(db_on_delete="CASCADE", db_index=True)  # the column is customer_id
    product: Product = Field(db_on_delete="RESTRICT", db_index=True)
    quantity: int = Field(gt=0)
    total: Decimal = Field(max_digits=12, decimal_places=2)
    status: Status = Status.NEW
    placed_at: AwareDatetime

    class Meta:
        is_table = True
        table_name = "quickstart_order"
