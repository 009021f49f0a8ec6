"""Genuine payments, drawn from the habits of customers and merchants."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from vae_anomaly.datasets.catalogue import (
    CATEGORIES,
    CATEGORY_NAMES,
    CITIES,
    COMPUTERS,
    COUNTRIES,
    DAY_WEIGHTS,
    LAUNCH,
    MAGSTRIPE_COUNTRIES,
    NO_DEVICE,
    PHONES,
    PROFILES,
    REMOTE,
    STAND_IN,
    Authentication,
    Channel,
    Device,
)
from vae_anomaly.datasets.sampling import Codes, Flags, GroupedChoice, Reals, pick
from vae_anomaly.datasets.world import CITY_OF_COUNTRY, COUNTRY_OF_CITY, DAY, VISITORS, World

MEDIAN = np.array([category.euros for category in CATEGORIES])
SPREAD = np.array([category.spread for category in CATEGORIES])
ENDING = np.array([category.ending for category in CATEGORIES])
TAKES_STRIPE = np.isin(COUNTRIES, MAGSTRIPE_COUNTRIES)[COUNTRY_OF_CITY]
CONTACTLESS_LIMIT = 50.0  # euros that may be paid without a PIN
HOUR_OF_CATEGORY = GroupedChoice.columns(np.array([category.hours.weights() for category in CATEGORIES]))
ALL_CITIES = np.arange(len(CITIES))


@dataclass(frozen=True)
class Payments:
    """Payments as codes, one row each; everything else about them follows from the world.

    Parameters
    ----------
    seconds : int ndarray
        Since the start of the period.
    customer, merchant, terminal : int ndarray
        Who paid whom and where; the terminal of a remote payment is -1.
    origin : int ndarray
        The city that the payer is in, which is the merchant's unless the payment is remote.
    located : bool ndarray
        Whether the distance of the payer from home is known.
    euros : float ndarray
        The amount.
    channel, authentication, device : int ndarray
        Codes of `Channel`, `Authentication` and `Device`.
    """

    seconds: Codes
    customer: Codes
    merchant: Codes
    terminal: Codes
    origin: Codes
    located: Flags
    euros: Reals
    channel: Codes
    authentication: Codes
    device: Codes

    def __len__(self) -> int:
        return len(self.seconds)

    def __getitem__(self, rows: Codes | Flags) -> Payments:
        return Payments(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def joined(cls, parts: list[Payments]) -> Payments:
        """The rows of several, behind each other."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})


def genuine_payments(world: World, n: int, rng: np.random.Generator) -> Payments:
    """Draw n payments that customers made themselves."""
    activity = world.customers.activity
    customer = pick(np.arange(len(activity)), n, rng, activity)
    seconds, category = _when_and_what(world, customer, rng)
    here = _whereabouts(world, customer, seconds, rng)
    remote = rng.random(n) < np.array([c.remote for c in CATEGORIES])[category]
    city = np.where(remote, _online_city(world, customer, rng), here)
    merchant = _usual_merchant(world, customer, city, category, rng)
    euros = amounts(world, customer, merchant, rng)
    euros *= np.where(rng.random(n) < 0.01, 1 + rng.pareto(2.0, n) * 2, 1.0)  # large rare purchases
    channel = _channel(world, seconds, customer, merchant, remote, euros, rng)
    return Payments(
        seconds=seconds,
        customer=customer,
        merchant=merchant,
        terminal=np.where(remote, -1, world.merchants.draw_terminal(merchant, rng)),
        origin=here,
        located=~remote | (world.customers.shares_location[customer] & (channel != Channel.PHONE_ORDER)),
        euros=with_ending(euros, category, rng),
        channel=channel,
        authentication=_authentication(world, customer, merchant, channel, euros, rng),
        device=_device(world, seconds, customer, channel, rng),
    )


def is_remote(channel: Codes) -> Flags:
    """Whether a channel has no terminal."""
    return np.isin(channel, REMOTE)


def amounts(world: World, customer: Codes, merchant: Codes, rng: np.random.Generator) -> Reals:
    """Usual amounts in euros: the category's, shifted by the customer's taste and income and the merchant's price."""
    category = world.merchants.category[merchant]
    taste = world.customers.taste[customer, category]
    noise = 0.6 * taste + 0.8 * rng.normal(0, 1, len(customer))
    scale = np.sqrt(world.customers.income[customer]) * world.merchants.price[merchant]
    euros: Reals = MEDIAN[category] * scale * np.exp(SPREAD[category] * noise)
    return euros


def with_ending(euros: Reals, category: Codes, rng: np.random.Generator) -> Reals:
    """Amounts that end as they do in their category, never below half a euro."""
    ending = ENDING[category]
    retail = np.floor(euros) + pick([99, 95, 49, 0], len(euros), rng, [0.6, 0.15, 0.15, 0.1]) / 100
    ended: Reals = np.select(
        [ending == "retail", ending == "fives", ending == "tens"],
        [retail, np.maximum(5, 5 * np.round(euros / 5)), np.maximum(10, 10 * np.round(euros / 10))],
        default=euros,
    )
    return np.round(np.maximum(ended, 0.5), 2).astype(float)


def _when_and_what(world: World, customer: Codes, rng: np.random.Generator) -> tuple[Codes, Codes]:
    category = world.customers.categories.draw(customer, rng)
    weekday = (world.first_weekday + np.arange(world.n_days)) % 7
    day = GroupedChoice.columns(DAY_WEIGHTS[:, weekday]).draw(np.array([c.days for c in CATEGORIES])[category], rng)
    later = np.array([profile.hours_later for profile in PROFILES])[world.customers.profile[customer]]
    own_clock = np.array([c.on_file < 0.9 for c in CATEGORIES])[category]  # the merchant chooses the hour of a bill
    hour = HOUR_OF_CATEGORY.draw(category, rng) + rng.random(len(customer)) + later * own_clock
    seconds = (day * DAY + (hour % 24) * 3600).astype(np.int64)
    for name, stand_in in STAND_IN.items():
        too_early = (category == CATEGORY_NAMES.index(name)) & ~world.has_launched(LAUNCH[name], seconds)
        category = np.where(too_early, CATEGORY_NAMES.index(stand_in), category)
    return seconds, category


def _whereabouts(world: World, customer: Codes, seconds: Codes, rng: np.random.Generator) -> Codes:
    """Home or a trip; now and then a day in another city of the same country."""
    city = world.customers.whereabouts(customer, seconds)
    outing = rng.random(len(city)) < 0.04
    return np.where(outing, CITY_OF_COUNTRY.draw(COUNTRY_OF_CITY[city], rng), city)


def _online_city(world: World, customer: Codes, rng: np.random.Generator) -> Codes:
    """Where the merchant of a remote payment is: mostly in the customer's own country."""
    home = CITY_OF_COUNTRY.draw(COUNTRY_OF_CITY[world.customers.city[customer]], rng)
    return np.where(rng.random(len(home)) < 0.8, home, pick(ALL_CITIES, len(home), rng, VISITORS))


def _usual_merchant(world: World, customer: Codes, city: Codes, category: Codes, rng: np.random.Generator) -> Codes:
    """Mostly one of the customer's few usual merchants of a city and category."""
    n = len(customer)
    usual = world.customers.favourites[customer, category, rng.integers(0, world.customers.favourites.shape[2], n)]
    place = np.where(rng.random(n) < 0.7, usual, rng.random(n))
    return world.merchants.choice.at(world.merchants.group(city, category), place)


def _channel(
    world: World,
    seconds: Codes,
    customer: Codes,
    merchant: Codes,
    remote: Flags,
    euros: Reals,
    rng: np.random.Generator,
) -> Codes:
    n, category = len(customer), world.merchants.category[merchant]
    digital = world.customers.digital[customer]
    stripe = np.where(TAKES_STRIPE[world.merchants.city[merchant]], 0.15, 0.003)
    tap = np.where(euros < CONTACTLESS_LIMIT, 0.75, 0.2)
    mobile = rng.random(n) < 0.6 * digital
    at_terminal = np.where(mobile, Channel.WALLET, np.where(rng.random(n) < tap, Channel.CONTACTLESS, Channel.CHIP))
    scans = mobile & (rng.random(n) < 0.3) & world.has_launched(LAUNCH["qr_code"], seconds)
    at_terminal = np.where(scans, Channel.QR_CODE, at_terminal)
    at_terminal = np.where(rng.random(n) < stripe, Channel.MAGSTRIPE, at_terminal)
    at_terminal = np.where(category == CATEGORY_NAMES.index("cash"), Channel.ATM, at_terminal)
    in_app = rng.random(n) < np.array([c.in_app for c in CATEGORIES])[category] * (0.5 + 0.5 * digital)
    calls = rng.random(n) < 0.04 * (1 - digital)
    at_distance = np.select([calls, in_app], [Channel.PHONE_ORDER, Channel.IN_APP], default=Channel.ONLINE)
    return np.where(remote, at_distance, at_terminal)


def _authentication(
    world: World, customer: Codes, merchant: Codes, channel: Codes, euros: Reals, rng: np.random.Generator
) -> Codes:
    n = len(customer)
    small = euros < CONTACTLESS_LIMIT
    signs = rng.random(n) < np.where(TAKES_STRIPE[world.merchants.city[merchant]], 0.25, 0.01)
    stored = rng.random(n) < np.array([c.on_file for c in CATEGORIES])[world.merchants.category[merchant]]
    texts = rng.random(n) < 0.6 - 0.5 * world.customers.digital[customer]
    waived = rng.random(n) < np.where(euros < 30, 0.3, 0.04)
    strong = np.where(texts, Authentication.SMS_CODE, Authentication.APP_APPROVAL)
    at_distance = np.select([stored, waived], [Authentication.ON_FILE, Authentication.UNVERIFIED], default=strong)
    return np.select(
        [
            np.isin(channel, (Channel.WALLET, Channel.QR_CODE)),
            channel == Channel.MAGSTRIPE,
            channel == Channel.CONTACTLESS,
            channel == Channel.CHIP,
            channel == Channel.ATM,
            channel == Channel.PHONE_ORDER,
            (channel == Channel.IN_APP) & ~stored,
        ],
        [
            Authentication.BIOMETRIC,
            Authentication.SIGNATURE,
            np.where(small, Authentication.UNVERIFIED, Authentication.PIN),
            np.where(signs, Authentication.SIGNATURE, Authentication.PIN),
            Authentication.PIN,
            Authentication.UNVERIFIED,
            np.where(waived, Authentication.UNVERIFIED, Authentication.BIOMETRIC),
        ],
        default=at_distance,
    )


def _device(world: World, seconds: Codes, customer: Codes, channel: Codes, rng: np.random.Generator) -> Codes:
    """The customer's own phone or computer, now and then a borrowed one; none for a plain card or a call."""
    n = len(customer)
    borrows = rng.random(n) < 0.015
    phone = np.where(borrows, pick(PHONES, n, rng), world.customers.phone[customer])
    computer = np.where(borrows, pick(COMPUTERS, n, rng), world.customers.computer[customer])
    watch = (rng.random(n) < 0.3) & world.has_launched(LAUNCH["smart_watch"], seconds)
    browses = np.where(rng.random(n) < 0.2 + 0.6 * world.customers.digital[customer], phone, computer)
    return np.select(
        [
            (channel == Channel.WALLET) & watch,
            np.isin(channel, (Channel.WALLET, Channel.QR_CODE, Channel.IN_APP)),
            channel == Channel.ONLINE,
        ],
        [Device.SMART_WATCH, phone, browses],
        default=NO_DEVICE,
    )
