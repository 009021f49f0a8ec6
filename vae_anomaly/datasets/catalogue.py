"""What exists in the simulated world: places, categories, kinds of customers, and the codes of a payment.

Everything here is a made-up but plausible constant: edit this file to simulate another market.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from vae_anomaly.datasets.sampling import Codes, Reals


class City(NamedTuple):
    """A place where customers live or shop."""

    name: str
    country: str
    latitude: float
    longitude: float
    residents: float  #: share of the customers who live there, before normalisation
    visitors: float  #: how much it draws travellers, before normalisation


CITIES = (
    City("Berlin", "DE", 52.52, 13.40, 12, 4),
    City("Hamburg", "DE", 53.55, 9.99, 8, 2),
    City("Munich", "DE", 48.14, 11.58, 8, 3),
    City("Cologne", "DE", 50.94, 6.96, 6, 2),
    City("Leipzig", "DE", 51.34, 12.37, 4, 1),
    City("Paris", "FR", 48.86, 2.35, 9, 6),
    City("Lyon", "FR", 45.76, 4.84, 4, 2),
    City("Marseille", "FR", 43.30, 5.37, 4, 3),
    City("Amsterdam", "NL", 52.37, 4.90, 5, 4),
    City("Rotterdam", "NL", 51.92, 4.48, 3, 1),
    City("Vienna", "AT", 48.21, 16.37, 5, 3),
    City("Graz", "AT", 47.07, 15.44, 2, 1),
    City("Rome", "IT", 41.90, 12.50, 4, 6),
    City("Milan", "IT", 45.46, 9.19, 4, 3),
    City("Madrid", "ES", 40.42, -3.70, 4, 4),
    City("Palma", "ES", 39.57, 2.65, 1, 7),
    City("London", "GB", 51.51, -0.13, 6, 6),
    City("Manchester", "GB", 53.48, -2.24, 3, 1),
    City("Zurich", "CH", 47.37, 8.54, 3, 2),
    City("Stockholm", "SE", 59.33, 18.07, 3, 2),
    City("Warsaw", "PL", 52.23, 21.01, 3, 2),
    City("New York", "US", 40.71, -74.01, 1.5, 4),
    City("Miami", "US", 25.76, -80.19, 0.5, 2),
    City("Antalya", "TR", 36.90, 30.71, 0.3, 5),
    City("Bangkok", "TH", 13.76, 100.50, 0.2, 3),
)
COUNTRIES = tuple(sorted({city.country for city in CITIES}))

UNITS_PER_EURO = {"CHF": 0.94, "EUR": 1.0, "GBP": 0.84, "PLN": 4.25, "SEK": 11.2, "THB": 36.5, "TRY": 41.0, "USD": 1.09}
CURRENCIES = tuple(UNITS_PER_EURO)
CURRENCY_OF_COUNTRY = {"CH": "CHF", "GB": "GBP", "PL": "PLN", "SE": "SEK", "TH": "THB", "TR": "TRY", "US": "USD"}
"""Countries that are not listed pay in euros."""

MAGSTRIPE_COUNTRIES = ("US", "TH", "TR")
"""Where the magnetic stripe is still in ordinary use."""


class Channel(IntEnum):
    """How the card met the merchant."""

    CHIP = 0
    CONTACTLESS = 1
    WALLET = 2
    MAGSTRIPE = 3
    QR_CODE = 4  # appears late in the period
    ATM = 5
    ONLINE = 6
    IN_APP = 7
    PHONE_ORDER = 8


REMOTE = (Channel.ONLINE, Channel.IN_APP, Channel.PHONE_ORDER)
"""Channels without a terminal."""


class Authentication(IntEnum):
    """How the customer was checked."""

    PIN = 0
    SIGNATURE = 1
    BIOMETRIC = 2
    APP_APPROVAL = 3
    SMS_CODE = 4
    ON_FILE = 5
    UNVERIFIED = 6


class Device(IntEnum):
    """What the customer held; missing (-1) where the channel has no device."""

    IPHONE = 0
    ANDROID = 1
    WINDOWS = 2
    MAC = 3
    LINUX = 4
    SMART_WATCH = 5  # appears late in the period


NO_DEVICE = -1
PHONES = (Device.IPHONE, Device.ANDROID)
COMPUTERS = (Device.WINDOWS, Device.MAC, Device.LINUX)

LAUNCH = {"ev_charging": 0.55, "qr_code": 0.65, "smart_watch": 0.75}
"""What appears late, and after which share of the period."""


class Hours(NamedTuple):
    """When in the day: bumps as (hour, spread in hours, weight) on top of a small constant."""

    bumps: tuple[tuple[float, float, float], ...]
    floor: float = 0.01

    def weights(self) -> Reals:
        """Weight of each hour of the day, of shape (24,)."""
        hour = np.arange(24)
        total = np.full(24, self.floor / 24)
        for centre, spread, weight in self.bumps:
            away = np.abs((hour - centre + 12) % 24 - 12)
            bump = np.exp(-0.5 * (away / spread) ** 2)
            total += weight * bump / bump.sum()
        normalised: Reals = total / total.sum()
        return normalised


SHOPPING = Hours(((11, 1.8, 0.4), (17, 1.8, 0.6)))
MEALS = Hours(((12.5, 0.9, 0.5), (19.5, 1.3, 0.5)))
MORNING = Hours(((8, 1.2, 0.75), (15, 1.5, 0.25)))
COMMUTE = Hours(((7.7, 0.9, 0.5), (17.5, 1.2, 0.5)))
OFFICE = Hours(((10, 1.5, 0.6), (15, 1.5, 0.4)))
EVENING = Hours(((13, 2.0, 0.2), (20.5, 1.6, 0.8)), floor=0.02)
NIGHT = Hours(((22.5, 2.0, 1.0),))
BATCH = Hours(((3, 1.0, 0.8), (10, 3.0, 0.2)), floor=0.02)
"""Subscriptions and bills that a merchant collects on its own, mostly at night."""


class Days(IntEnum):
    """Which days of the week a category lives on."""

    FLAT = 0
    WORKDAYS = 1
    WEEKEND = 2


DAY_WEIGHTS = np.array(
    [[1, 1, 1, 1, 1, 1, 1], [1.2, 1.2, 1.2, 1.2, 1.3, 0.45, 0.3], [0.6, 0.6, 0.7, 0.9, 1.4, 1.9, 1.1]], dtype=float
)
"""A row for each of `Days`, a column for each weekday from Monday."""


@dataclass(frozen=True)
class Category:
    """What a merchant sells.

    Parameters
    ----------
    name : str
        Its name in the data.
    weight : float
        How often an average customer buys it.
    euros : float
        The median amount.
    spread : float
        Standard deviation of the log amount.
    remote : float
        Share of the payments made without a terminal.
    hours, days : Hours, Days
        When it is bought.
    ending : str
        How amounts end: "cents" (any), "retail" (mostly .99 and the like), "fives" or "tens".
    in_app, on_file : float
        Shares of the remote payments made in an app, and collected by the merchant with a stored card.
    """

    name: str
    weight: float
    euros: float
    spread: float
    remote: float
    hours: Hours
    days: Days = Days.FLAT
    ending: str = "cents"
    in_app: float = 0.15
    on_file: float = 0.0


CATEGORIES = (
    Category("grocery", 20, 27, 0.65, 0.06, SHOPPING),
    Category("restaurant", 11, 26, 0.50, 0.10, MEALS, Days.WEEKEND, in_app=0.9),
    Category("coffee_bakery", 10, 5.2, 0.40, 0.02, MORNING, Days.WORKDAYS, in_app=0.9),
    Category("fuel", 5, 54, 0.35, 0.02, COMMUTE, in_app=1.0),
    Category("public_transport", 8, 3.4, 0.45, 0.50, COMMUTE, Days.WORKDAYS, in_app=0.85),
    Category("pharmacy", 4, 15, 0.55, 0.10, OFFICE, Days.WORKDAYS, "retail"),
    Category("clothing", 5, 52, 0.65, 0.45, EVENING, Days.WEEKEND, "retail"),
    Category("electronics", 2.5, 130, 0.90, 0.55, EVENING, Days.WEEKEND, "retail", in_app=0.05),
    Category("digital_goods", 6, 6.5, 0.65, 1.00, EVENING, ending="retail", in_app=0.8, on_file=0.3),
    Category("streaming", 4, 11, 0.25, 1.00, BATCH, ending="retail", in_app=0.1, on_file=0.95),
    Category("travel", 1.6, 190, 0.80, 0.88, EVENING, in_app=0.25),
    Category("hotel", 1.2, 150, 0.60, 0.45, MEALS, Days.WEEKEND),
    Category("home_improvement", 2.5, 58, 0.80, 0.20, SHOPPING, Days.WEEKEND, "retail"),
    Category("furniture", 0.8, 260, 0.80, 0.45, SHOPPING, Days.WEEKEND, "retail", in_app=0.02),
    Category("jewellery", 0.5, 190, 0.85, 0.20, OFFICE, Days.WEEKEND, "retail", in_app=0.02),
    Category("nightlife", 4, 17, 0.55, 0.00, NIGHT, Days.WEEKEND),
    Category("taxi", 3, 16, 0.45, 0.70, NIGHT, Days.WEEKEND, in_app=0.95, on_file=0.5),
    Category("cash", 5, 80, 0.55, 0.00, SHOPPING, ending="tens"),
    Category("money_transfer", 2, 120, 0.85, 1.00, OFFICE, ending="fives", in_app=0.6),
    Category("gift_card", 0.9, 35, 0.50, 0.55, EVENING, ending="fives", in_app=0.1),
    Category("gambling", 1.2, 24, 0.70, 0.95, NIGHT, ending="fives", in_app=0.5),
    Category("charity", 1.0, 20, 0.60, 0.80, EVENING, ending="fives", in_app=0.05, on_file=0.4),
    Category("healthcare", 1.5, 65, 0.75, 0.10, OFFICE, Days.WORKDAYS),
    Category("utilities", 1.8, 85, 0.40, 0.97, BATCH, Days.WORKDAYS, in_app=0.0, on_file=0.9),
    Category("ev_charging", 2.5, 17, 0.40, 0.70, COMMUTE, in_app=0.95),
)
CATEGORY_NAMES = tuple(category.name for category in CATEGORIES)
STAND_IN = {"ev_charging": "fuel"}
"""What was bought before a late category appeared."""


def codes_of(*names: str) -> Codes:
    """The codes of some categories.

    Examples
    --------
    >>> codes_of("grocery", "fuel")
    array([0, 3])
    """
    return np.array([CATEGORY_NAMES.index(name) for name in names])


class Profile(NamedTuple):
    """A kind of customer."""

    name: str
    weight: float
    ages: tuple[float, ...]  #: weight of each of AGE_BANDS
    income: float  #: factor on every amount
    hours_later: float  #: how much later their day runs
    likes: dict[str, float]  #: factor on the weight of some categories


AGE_BANDS = ("18-24", "25-34", "35-49", "50-64", "65+")
PROFILES = (
    Profile("employee", 0.42, (0.05, 0.30, 0.40, 0.25, 0), 1.1, 0, {"coffee_bakery": 1.5, "public_transport": 1.5}),
    Profile("parent", 0.24, (0, 0.25, 0.60, 0.15, 0), 1.2, -0.5, {"grocery": 1.6, "clothing": 1.4, "nightlife": 0.2}),
    Profile("student", 0.12, (0.85, 0.15, 0, 0, 0), 0.6, 2, {"nightlife": 2.5, "digital_goods": 2.0, "fuel": 0.3}),
    Profile("retired", 0.18, (0, 0, 0, 0.12, 0.88), 0.9, -1, {"pharmacy": 2.5, "cash": 2.5, "digital_goods": 0.2}),
    Profile("night_shift", 0.04, (0.15, 0.35, 0.35, 0.15, 0), 1.0, 9, {"coffee_bakery": 1.5, "fuel": 1.5}),
)
