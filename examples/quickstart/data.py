"""Invented but plausible customers, products and orders; the same ones at every run."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from models import Customer, Order, Product, Status

CITIES = ["Amsterdam", "Berlin", "Köln", "Lisboa", "Łódź", "Malmö", "Oslo", "Praha", "Wien", "Zürich"]
GIVEN = ["Ada", "Björn", "Chloé", "Dmitri", "Elif", "Frida", "Goran", "Hana", "Inês", "Jarosław", "Kaya", "Lindiwe"]
FAMILY = ["Åberg", "Bauer", "Costa", "Dvořák", "Eriksen", "Fischer", "Grünwald", "Horváth", "Ivanova", "Jansen"]
CATEGORIES = {"bike": (300, 4000), "helmet": (30, 250), "light": (8, 120), "lock": (15, 180), "tyre": (12, 90)}
WORDS = ["City", "Gravel", "Trail", "Night", "Rain", "Swift", "Steady", "Feather", "Granite", "Harbour"]
OPENED = datetime(2024, 1, 1, 9, tzinfo=UTC)


def customers(number: int, chance: random.Random) -> list[Customer]:
    return [
        Customer(
            name=f"{chance.choice(GIVEN)} {chance.choice(FAMILY)}",
            email=f"customer{n}@example.org",
            city=chance.choice(CITIES),
            since=datetime(2024, 1, 1) + timedelta(minutes=chance.randrange(1_000_000)),  # noqa: DTZ001 - stored as UTC
        )
        for n in range(number)
    ]


def products(number: int, chance: random.Random) -> list[Product]:
    made = []
    for n in range(number):
        category, (low, high) = chance.choice(list(CATEGORIES.items()))
        made.append(
            Product(
                sku=f"{category[:2].upper()}-{n:05}",
                name=f"{chance.choice(WORDS)} {chance.choice(WORDS)} {category}",
                category=category,
                price=Decimal(chance.randrange(low * 100, high * 100)) / 100,
                stock=chance.randrange(0, 60),
                tags=chance.sample(["new", "sale", "reflective", "carbon", "waterproof"], k=2),
            )
        )
    return made


def orders(number: int, buyers: list[Customer], goods: list[Product], chance: random.Random) -> list[Order]:
    made = []
    for _ in range(number):
        product, quantity = chance.choice(goods), chance.randint(1, 4)
        made.append(
            Order(
                customer=chance.choice(buyers),
                product=product,
                quantity=quantity,
                total=product.price * quantity,
                status=chance.choice(list(Status)),
                placed_at=OPENED + timedelta(seconds=chance.randrange(60_000_000)),
            )
        )
    return made
