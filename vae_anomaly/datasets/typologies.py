"""How fraud looks: one function for each typology, in one registry.

A typology makes exactly as many payments as it is asked for, with the customers, merchants and genuine payments of the
same world. No single column gives a fraud away: genuine customers also pay at night, abroad, by magnetic stripe, or
much at once. What is odd is the combination, within the row or with the customer's other rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.datasets.catalogue import (
    CITIES,
    CURRENCY_OF_COUNTRY,
    NO_DEVICE,
    UNITS_PER_EURO,
    Authentication,
    Channel,
    Device,
    Hours,
    codes_of,
)
from vae_anomaly.datasets.payments import (
    CONTACTLESS_LIMIT,
    MEDIAN,
    TAKES_STRIPE,
    Payments,
    amounts,
    is_remote,
    with_ending,
)
from vae_anomaly.datasets.sampling import Codes, Flags, GroupedChoice, Reals, episodes, pick, since_start
from vae_anomaly.datasets.world import CITY_OF_COUNTRY, COUNTRY_OF_CITY, DAY, RESIDENTS, VISITORS, World

Value = TypeVar("Value", np.int64, np.float64)
Maker = Callable[[int, World, Payments, np.random.Generator], Payments]
ALL_CITIES = np.arange(len(CITIES))
STRIPE_CITIES = np.flatnonzero(TAKES_STRIPE)
RING_SIZE = 8  # cards that pay one accomplice
_UNITS = np.array([UNITS_PER_EURO[CURRENCY_OF_COUNTRY.get(city.country, "EUR")] for city in CITIES])
EUROS_PER_ROUND_UNIT = np.maximum(1, 5 * np.round(_UNITS / 5)) / _UNITS
"""What makes an amount round in the currency of each city: 1 euro or pound, 5 zloty, 10 kronor, ..."""
ANY_HOUR = Hours((), floor=1.0)
SLEEPING_HOURS = Hours(((2.5, 1.5, 1.0),), floor=0.15)
SHOP_HOURS = Hours(((19, 2.5, 1.0),), floor=0.1)


@dataclass(frozen=True)
class Typology:
    """A way to commit fraud.

    Parameters
    ----------
    name : str
        Its name in the ``typology`` column.
    share : float
        Its share of the frauds, unless the caller says otherwise.
    make : callable
        ``make(n, world, genuine, rng)`` gives n ≥ 1 fraudulent payments.
    """

    name: str
    share: float
    make: Maker


TYPOLOGIES: dict[str, Typology] = {}


def typology(share: float) -> Callable[[Maker], Maker]:
    """Enter a function into `TYPOLOGIES` under its own name."""

    def enter(make: Maker) -> Maker:
        name = getattr(make, "__name__", "")
        TYPOLOGIES[name] = Typology(name, share, make)
        return make

    return enter


@typology(share=0.25)
def card_testing(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Try a stolen card number: many small online amounts within minutes, at merchants the customer never uses."""
    run, seconds = _bursts(n, (6, 15), 1.5, ANY_HOUR, world, rng)
    customer = _first_of(run, _any_customer(world, n, rng))
    same_country = CITY_OF_COUNTRY.draw(COUNTRY_OF_CITY[world.customers.city[customer]], rng)
    city = np.where(rng.random(n) < 0.2, same_country, pick(ALL_CITIES, n, rng, VISITORS))
    category = pick(codes_of("charity", "digital_goods", "streaming", "gift_card", "taxi"), n, rng, [4, 3, 2, 1, 1])
    return _payments(
        world,
        seconds,
        customer,
        world.merchants.draw(city, category, rng),
        np.round(0.5 + rng.gamma(1.2, 1.8, n), 2),
        Channel.ONLINE,
        pick([Authentication.UNVERIFIED, Authentication.SMS_CODE], n, rng, [9, 1]),
        device=_first_of(run, pick([Device.LINUX, Device.WINDOWS, Device.ANDROID], n, rng, [3, 4, 3])),
        origin=_first_of(run, pick(ALL_CITIES, n, rng, VISITORS)),
        located=rng.random(n) < 0.4,
        rng=rng,
    )


@typology(share=0.20)
def stolen_card_burst(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Spend a stolen card: several purchases within two hours, in categories and places unusual for the customer."""
    spree, seconds = _bursts(n, (3, 8), 15, SHOP_HOURS, world, rng)
    customer = _first_of(spree, _any_customer(world, n, rng))
    same_country = CITY_OF_COUNTRY.draw(COUNTRY_OF_CITY[world.customers.city[customer]], rng)
    city = np.where(rng.random(n) < 0.6, same_country, pick(ALL_CITIES, n, rng, RESIDENTS + VISITORS))
    goods = codes_of("electronics", "jewellery", "clothing", "gift_card", "home_improvement", "fuel")
    category = pick(goods, n, rng, [4, 3, 3, 4, 1, 1])
    taps = rng.random(n) < 0.55  # the thief knows no PIN: taps below the limit, or swipes and signs
    euros: Reals = np.where(taps, rng.uniform(22, 49.9, n), MEDIAN[category] * np.exp(rng.normal(0.2, 0.5, n)))
    return _payments(
        world,
        seconds,
        customer,
        world.merchants.draw(_first_of(spree, city), category, rng),
        np.round(euros, 2),
        np.where(taps, Channel.CONTACTLESS, Channel.MAGSTRIPE),
        np.where(taps, Authentication.UNVERIFIED, Authentication.SIGNATURE),
        rng=rng,
    )


@typology(share=0.20)
def account_takeover(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Use a hijacked account: from a device that is not the customer's, transfers and the like at unusual hours."""
    session, seconds = _bursts(n, (2, 5), 12, SLEEPING_HOURS, world, rng)
    customer = _first_of(session, _any_customer(world, n, rng))
    home = world.customers.city[customer]
    city = np.where(rng.random(n) < 0.6, home, pick(ALL_CITIES, n, rng, VISITORS))
    category = pick(codes_of("money_transfer", "gift_card", "electronics", "gambling"), n, rng, [5, 2, 2, 1])
    return _payments(
        world,
        seconds,
        customer,
        world.merchants.draw(city, category, rng),
        with_ending(MEDIAN[category] * np.exp(rng.normal(0.5, 0.7, n)), category, rng),
        Channel.ONLINE,
        pick([Authentication.SMS_CODE, Authentication.UNVERIFIED], n, rng, [3, 1]),
        device=_first_of(session, _strange_device(world, customer, rng)),
        origin=_first_of(session, np.where(rng.random(n) < 0.6, pick(ALL_CITIES, n, rng), home)),
        located=rng.random(n) < 0.5,
        rng=rng,
    )


@typology(share=0.15)
def compromised_terminal(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Clone cards at a tampered terminal: cards seen there later pay plausible amounts elsewhere, by stripe."""
    seen = _seen_at_tampered_terminals(n, world, genuine, rng)
    later = np.minimum(seen.seconds + rng.uniform(1, 20, n) * DAY, rng.uniform(seen.seconds + 1, world.end))
    city = pick(ALL_CITIES, n, rng, RESIDENTS + VISITORS + 10 * np.isin(ALL_CITIES, STRIPE_CITIES))
    category = pick(codes_of("cash", "electronics", "grocery", "fuel", "clothing"), n, rng, [3, 2, 3, 2, 2])
    merchant = world.merchants.draw(city, category, rng)
    at_machine = category == codes_of("cash")
    return _payments(
        world,
        later.astype(np.int64),
        seen.customer,
        merchant,
        with_ending(amounts(world, seen.customer, merchant, rng), category, rng),
        np.where(at_machine, Channel.ATM, Channel.MAGSTRIPE),
        np.where(at_machine, Authentication.PIN, Authentication.SIGNATURE),
        rng=rng,
    )


@typology(share=0.10)
def merchant_collusion(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Pay an accomplice: a merchant that charges high, round, repeated amounts to a ring of cards at odd hours."""
    scheme = episodes(n, 15, 40, rng)
    front = pick(codes_of("restaurant", "healthcare", "nightlife", "home_improvement", "taxi"), n, rng)
    merchant = _first_of(scheme, world.merchants.draw(pick(ALL_CITIES, n, rng, RESIDENTS), front, rng))
    ring = _any_customer(world, RING_SIZE * (n // 15 + 1), rng)
    _, seconds = _bursts(n, (1, 1), 0, SLEEPING_HOURS, world, rng)
    round_amount = pick([100, 150, 200, 250, 300, 500], n, rng, [3, 2, 3, 2, 1, 1])
    keyed = rng.random(n) < 0.6
    return _payments(
        world,
        seconds,
        ring[RING_SIZE * scheme + rng.integers(0, RING_SIZE, n)],
        merchant,
        round_amount * EUROS_PER_ROUND_UNIT[world.merchants.city[merchant]],
        np.where(keyed, Channel.PHONE_ORDER, Channel.CHIP),
        np.where(keyed, Authentication.UNVERIFIED, Authentication.SIGNATURE),
        located=~keyed,
        rng=rng,
    )


@typology(share=0.10)
def out_of_pattern_amount(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Overcharge: an amount far above what the customer spends in that category, yet ordinary among all payments."""
    everyday = codes_of(
        "grocery", "coffee_bakery", "public_transport", "pharmacy", "digital_goods", "streaming", "taxi"
    )
    pool = np.flatnonzero(np.isin(world.merchants.category[genuine.merchant], everyday))
    usual = genuine[rng.choice(pool, n)]
    ceiling = np.quantile(genuine.euros, 0.99) * rng.uniform(0.5, 1, n)
    euros: Reals = np.minimum(usual.euros * rng.uniform(5, 15, n) + 20, ceiling)
    asks_pin = (usual.channel == Channel.CONTACTLESS) & (euros >= CONTACTLESS_LIMIT)
    later = usual.seconds + rng.integers(0, 4, n) * 7 * DAY + rng.integers(60, 3600, n)  # about the usual hour
    return replace(
        usual,
        seconds=np.where(later < world.end, later, usual.seconds),
        euros=np.round(euros, 2),
        authentication=np.where(asks_pin, Authentication.PIN, usual.authentication),
    )


def _payments(
    world: World,
    seconds: Codes,
    customer: Codes,
    merchant: Codes,
    euros: Reals,
    channel: Codes | Channel,
    authentication: Codes,
    *,
    device: Codes | int = NO_DEVICE,
    origin: Codes | None = None,
    located: Flags | bool = True,
    rng: np.random.Generator,
) -> Payments:
    """Payments at a terminal of each merchant, or none where the channel is remote."""
    channels = np.broadcast_to(np.asarray(channel, dtype=np.int64), seconds.shape)
    return Payments(
        seconds=seconds,
        customer=customer,
        merchant=merchant,
        terminal=np.where(is_remote(channels), -1, world.merchants.draw_terminal(merchant, rng)),
        origin=world.merchants.city[merchant] if origin is None else origin,
        located=np.broadcast_to(located, seconds.shape),
        euros=euros,
        channel=channels,
        authentication=authentication,
        device=np.broadcast_to(np.asarray(device, dtype=np.int64), seconds.shape),
    )


def _bursts(
    n: int, rows: tuple[int, int], minutes: float, hours: Hours, world: World, rng: np.random.Generator
) -> tuple[Codes, Codes]:
    """Episodes of a few rows each, and seconds: starts spread over the days, then gaps of some minutes on average."""
    episode = episodes(n, *rows, rng)
    day = ((episode + rng.random(n)) / (episode[-1] + 1) * world.n_days).astype(np.int64)
    hour = pick(range(24), n, rng, hours.weights()) + rng.random(n)
    start = day * DAY + hour * 3600
    seconds = _first_of(episode, start) + since_start(rng.exponential(60 * minutes, n), episode)
    return episode, np.minimum(seconds, world.end - 1).astype(np.int64)


def _first_of(episode: Codes, values: NDArray[Value]) -> NDArray[Value]:
    """Give all rows of an episode the value of its first row."""
    return values[np.searchsorted(episode, episode)]


def _any_customer(world: World, n: int, rng: np.random.Generator) -> Codes:
    return rng.integers(0, len(world.customers.city), n)


def _strange_device(world: World, customer: Codes, rng: np.random.Generator) -> Codes:
    """A phone or computer that the customer does not own."""
    devices = np.array([Device.IPHONE, Device.ANDROID, Device.WINDOWS, Device.MAC, Device.LINUX])
    wanted = np.tile([1.0, 2.0, 2.0, 1.0, 3.0], (len(customer), 1))
    owned = (devices == world.customers.phone[customer, None]) | (devices == world.customers.computer[customer, None])
    wanted[owned] = 0
    return devices[GroupedChoice.columns(wanted).draw(np.arange(len(customer)), rng)]


def _seen_at_tampered_terminals(n: int, world: World, genuine: Payments, rng: np.random.Generator) -> Payments:
    """Genuine payments early in the period, at about one tampered terminal for every 20 frauds."""
    early = genuine[(genuine.terminal >= 0) & (genuine.seconds < 0.6 * world.end)]
    tampered = rng.choice(early.terminal, n // 20 + 1)  # busy terminals are tampered with more often
    return early[rng.choice(np.flatnonzero(np.isin(early.terminal, tampered)), n)]
