"""A small bicycle shop on Oxyde: thousands of orders, filters, arithmetic in the database, a sale that fails and leaves
no trace, and JSON ready to be sent.

    python main.py                                 # an SQLite file in a temporary folder
    python main.py --url postgres://user@host/db   # a server; or mysql://user@host/db
    python main.py --url sqlite:///shop.db --keep  # to look at the tables afterwards

The program makes its tables anew at every start and drops them at its end; their names begin with `quickstart_`.
"""

import argparse
import asyncio
import json
import random
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from data import customers, orders, products
from models import Customer, Order, Product, Status
from terminal import Progress, heading, say, table

from oxyde import AsyncDatabase, F, Model, Q, atomic, create_tables, db, drop_tables
from oxyde.exceptions import CheckViolationError

CUSTOMERS, PRODUCTS, ORDERS = 2_000, 500, 20_000
M = TypeVar("M", bound=Model)


async def load(model: type[M], rows: Sequence[M], chunk: int = 1_000) -> list[M]:
    """Insert in chunks, so that there is progress to see; what comes back carries the keys the database gave."""
    progress = Progress(model.__name__.lower() + "s", len(rows))
    stored: list[M] = []
    for start in range(0, len(rows), chunk):
        stored += await model.objects.bulk_create(rows[start : start + chunk])
        progress.advance(min(chunk, len(rows) - start))
    progress.finish()
    return stored


async def fill() -> None:
    heading("Filling the shop")
    chance = random.Random(7)
    buyers = await load(Customer, customers(CUSTOMERS, chance))
    goods = await load(Product, products(PRODUCTS, chance))
    await load(Order, orders(ORDERS, buyers, goods, chance))


async def look_around() -> None:
    heading("Asking questions")
    dear = Product.objects.filter(category="bike", price__gte=Decimal(1500), stock__gt=0)
    say(f"{await dear.count()} bikes over 1,500 are in stock; the cheapest three of them:")
    table(
        ["sku", "name", "price", "stock"],
        [(p.sku, p.name, p.price, p.stock) for p in await dear.order_by("price", "sku")[:3]],
    )

    north = await Customer.objects.filter(Q(city="Malmö") | Q(city="Oslo"), name__icontains="ÅBERG").count()
    say(f"{north} customers called Åberg live in Malmö or Oslo (the search does not mind upper case, in any alphabet)")

    customer = await Customer.objects.order_by("id").first()
    assert customer is not None
    latest = await Order.objects.filter(customer=customer).exclude(status=Status.NEW).order_by("-placed_at").first()
    say(
        f"{customer.name}, {customer.city}: {await Order.objects.filter(customer=customer).count()} orders, the latest:"
    )
    if latest is not None:
        say(f"  {latest.placed_at:%Y-%m-%d}  {latest.quantity} pieces  {latest.total}  {latest.status}")


async def restock() -> None:
    heading("Restocking, in one statement")
    scarce = Product.objects.filter(stock__lt=5)
    before = await scarce.count()
    changed = await scarce.update(stock=F("stock") + 40)
    say(f"{changed} of {before} scarce products got 40 pieces more; scarce now: {await scarce.count()}")


async def sell_too_much() -> None:
    heading("A sale that fails")
    product = await Product.objects.filter(stock__lt=20).order_by("id").first()
    customer = await Customer.objects.order_by("-id").first()
    assert product is not None and customer is not None and product.id is not None
    orders_before = await Order.objects.count()
    say(f"{customer.name} orders {product.stock + 1} pieces of {product.name}; {product.stock} are left")
    try:
        async with atomic():
            quantity = product.stock + 1
            placed = await Order.objects.create(
                customer=customer,
                product=product,
                quantity=quantity,
                total=product.price * quantity,
                placed_at=datetime.now(UTC),
            )
            say(f"  inside the transaction the order exists: number {placed.id}")
            await Product.objects.filter(id=product.id).update(stock=F("stock") - quantity)
    except CheckViolationError as error:
        say(f"  the database refuses: {error.constraint or error}")
    same_stock = (await Product.objects.get(id=product.id)).stock == product.stock
    unchanged = same_stock and await Order.objects.count() == orders_before
    say(f"  rolled back, nothing of it is left: {'yes' if unchanged else 'NO'}")
    if not unchanged:
        raise SystemExit("the transaction left something behind")


async def hand_out() -> None:
    heading("JSON, straight from the rows")
    document = await Product.objects.filter(category="helmet").order_by("-price", "sku")[:3].all(mode="json")
    for row in json.loads(document):
        say(json.dumps(row, ensure_ascii=False))


async def run(url: str, *, keep: bool = False) -> None:
    async with db.connect(url) as database:
        heading(f"Oxyde on {shown(database)}")
        tables = [Customer, Product, Order]
        await drop_tables(models=tables)
        await create_tables(models=tables)
        try:
            await tour()
            heading("Done")
            counts = [(model.__name__, await model.objects.count()) for model in tables]
            table(["table", "rows"], counts)
        finally:
            if not keep:
                await drop_tables(models=tables)


async def tour() -> None:
    await fill()
    await look_around()
    await restock()
    await sell_too_much()
    await hand_out()


def shown(database: AsyncDatabase) -> str:
    return f"{database.backend} ({database.url})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--url", help="the database to use (default: a new SQLite file that is removed at the end)")
    parser.add_argument("--keep", action="store_true", help="leave the tables in the database that --url names")
    arguments = parser.parse_args()
    if arguments.url:
        asyncio.run(run(arguments.url, keep=arguments.keep))
        return
    with tempfile.TemporaryDirectory(prefix="oxyde-quickstart-") as folder:
        asyncio.run(run(f"sqlite:///{Path(folder, 'shop.db')}"))


if __name__ == "__main__":
    main()
