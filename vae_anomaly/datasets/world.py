"""Who pays and who is paid: customers with a home and habits, merchants with terminals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vae_anomaly.datasets.catalogue import (
    AGE_BANDS,
    CATEGORIES,
    CATEGORY_NAMES,
    CITIES,
    COMPUTERS,
    COUNTRIES,
    PHONES,
    PROFILES,
)
from vae_anomaly.datasets.sampling import Codes, Flags, GroupedChoice, Reals, pick, zipf_weights

DAY = 86_400  # seconds
N_TRIPS, N_FAVOURITES = 2, 3
COUNTRY_OF_CITY = np.array([COUNTRIES.index(city.country) for city in CITIES])
LATITUDE, LONGITUDE = np.array([city.latitude for city in CITIES]), np.array([city.longitude for city in CITIES])
RESIDENTS, VISITORS = np.array([city.residents for city in CITIES]), np.array([city.visitors for city in CITIES])
CITY_OF_COUNTRY = GroupedChoice.among(COUNTRY_OF_CITY, RESIDENTS)


@dataclass(frozen=True)
class Customers:
    """What is constant about each customer; every array has one row for each.

    Parameters
    ----------
    city, latitude, longitude : ndarray
        Home.
    profile, age_band : int ndarray
        Indices into `PROFILES` and `AGE_BANDS`.
    account_age : int ndarray
        Days since the account was opened, when the period starts.
    activity, income : float ndarray
        Factors on the number of payments and on their amounts.
    taste : float ndarray of shape (n_customers, n_categories)
        Standard normal: how much above the others they spend in a category.
    categories : GroupedChoice
        Draws a category for a customer.
    favourites : float ndarray of shape (n_customers, n_categories, N_FAVOURITES)
        Places of the customer's usual merchants in `Merchants.choice`.
    digital : float ndarray
        From 0 (chip, PIN, phone calls) to 1 (wallet, apps).
    phone, computer : int ndarray
        Their own devices.
    shares_location : bool ndarray
        Whether their devices tell where they are.
    trip_start, trip_end : float ndarray of shape (n_customers, N_TRIPS)
        Seconds since the start of the period; a trip that does not happen ends before it starts.
    trip_city : int ndarray of shape (n_customers, N_TRIPS)
        Where they travel.
    """

    city: Codes
    latitude: Reals
    longitude: Reals
    profile: Codes
    age_band: Codes
    account_age: Codes
    activity: Reals
    income: Reals
    taste: Reals
    categories: GroupedChoice
    favourites: Reals
    digital: Reals
    phone: Codes
    computer: Codes
    shares_location: Flags
    trip_start: Reals
    trip_end: Reals
    trip_city: Codes

    def whereabouts(self, who: Codes, seconds: Codes) -> Codes:
        """The city that each customer is in at a time: home, or where a trip led."""
        city = self.city[who]
        for trip in range(N_TRIPS):
            away = (self.trip_start[who, trip] <= seconds) & (seconds < self.trip_end[who, trip])
            city = np.where(away, self.trip_city[who, trip], city)
        return city


def make_customers(n: int, n_days: int, rng: np.random.Generator) -> Customers:
    """Draw n customers."""
    profile = pick(range(len(PROFILES)), n, rng, [p.weight for p in PROFILES])
    age_band = GroupedChoice.columns(np.array([p.ages for p in PROFILES])).draw(profile, rng)
    city = pick(range(len(CITIES)), n, rng, RESIDENTS)
    income = np.array([p.income for p in PROFILES])[profile] * np.exp(rng.normal(0, 0.3, n))
    youth = 1 - age_band / (len(AGE_BANDS) - 1)
    trip_start = rng.uniform(-5, n_days, (n, N_TRIPS)) * DAY
    trip_days = np.where(rng.random((n, N_TRIPS)) < 0.3, rng.uniform(2, 14, (n, N_TRIPS)), -1)
    return Customers(
        city=city,
        latitude=LATITUDE[city] + rng.normal(0, 0.05, n),
        longitude=LONGITUDE[city] + rng.normal(0, 0.08, n),
        profile=profile,
        age_band=age_band,
        account_age=(30 + rng.gamma(1.5, 900 * (0.4 + 0.4 * age_band), n)).astype(np.int64),
        activity=rng.gamma(2.0, 0.5, n) + 0.05,
        income=income,
        taste=rng.normal(0, 1, (n, len(CATEGORIES))),
        categories=GroupedChoice.columns(_category_weights(profile, rng)),
        favourites=rng.random((n, len(CATEGORIES), N_FAVOURITES)),
        digital=rng.beta(0.6 + 2.5 * youth, 0.6 + 2.5 * (1 - youth)),
        phone=pick(PHONES, n, rng, [0.45, 0.55]),
        computer=pick(COMPUTERS, n, rng, [0.70, 0.27, 0.03]),
        shares_location=rng.random(n) < 0.7,
        trip_start=trip_start,
        trip_end=trip_start + trip_days * DAY,
        trip_city=pick(range(len(CITIES)), n * N_TRIPS, rng, VISITORS).reshape(n, N_TRIPS),
    )


def _category_weights(profile: Codes, rng: np.random.Generator) -> Reals:
    """How often each customer buys in each category: the average, the profile's likes, and their own."""
    likes = np.array([[p.likes.get(name, 1.0) for name in CATEGORY_NAMES] for p in PROFILES])
    average = np.array([category.weight for category in CATEGORIES])
    own = rng.gamma(1.5, 1 / 1.5, (len(profile), len(CATEGORIES)))
    weights: Reals = average * likes[profile] * own
    return weights


@dataclass(frozen=True)
class Merchants:
    """What is constant about each merchant.

    Parameters
    ----------
    city, category : int ndarray of shape (n_merchants,)
        Where it is, and what it sells.
    latitude, longitude : float ndarray of shape (n_merchants,)
        Where exactly.
    price : float ndarray of shape (n_merchants,)
        Factor on its amounts.
    first_terminal, n_terminals : int ndarray of shape (n_merchants,)
        Its terminals are numbered from the first one on.
    choice : GroupedChoice
        Draws a merchant by popularity, for a group made by `group`.
    """

    city: Codes
    category: Codes
    latitude: Reals
    longitude: Reals
    price: Reals
    first_terminal: Codes
    n_terminals: Codes
    choice: GroupedChoice

    @staticmethod
    def group(city: Codes, category: Codes) -> Codes:
        """The number of a place and category together."""
        return city * len(CATEGORIES) + category

    def draw(self, city: Codes, category: Codes, rng: np.random.Generator) -> Codes:
        """A merchant of each city and category, by popularity."""
        return self.choice.draw(self.group(city, category), rng)

    def draw_terminal(self, merchant: Codes, rng: np.random.Generator) -> Codes:
        """One of the terminals of each merchant."""
        return self.first_terminal[merchant] + rng.integers(0, self.n_terminals[merchant])


MIN_MERCHANTS = len(CITIES) * len(CATEGORIES)
"""Every category exists in every city."""


def make_merchants(n: int, rng: np.random.Generator) -> Merchants:
    """Draw n merchants, at least one for each city and category."""
    extra = n - MIN_MERCHANTS
    weight = [category.weight for category in CATEGORIES]
    every = np.arange(MIN_MERCHANTS)
    city = np.concatenate([every // len(CATEGORIES), pick(range(len(CITIES)), extra, rng, RESIDENTS + VISITORS)])
    category = np.concatenate([every % len(CATEGORIES), pick(range(len(CATEGORIES)), extra, rng, weight)])
    popularity = zipf_weights(n, 0.9, rng)
    n_terminals = 1 + rng.poisson(3 * popularity**0.25)
    return Merchants(
        city=city,
        category=category,
        latitude=LATITUDE[city] + rng.normal(0, 0.05, n),
        longitude=LONGITUDE[city] + rng.normal(0, 0.08, n),
        price=np.exp(rng.normal(0, 0.2, n)),
        first_terminal=np.cumsum(n_terminals) - n_terminals,
        n_terminals=n_terminals,
        choice=GroupedChoice.among(Merchants.group(city, category), popularity),
    )


@dataclass(frozen=True)
class World:
    """Customers, merchants, and the period.

    Parameters
    ----------
    customers : Customers
        Who pays.
    merchants : Merchants
        Who is paid.
    n_days : int
        Length of the period.
    first_weekday : int
        Weekday of its first day, Monday is 0.
    """

    customers: Customers
    merchants: Merchants
    n_days: int
    first_weekday: int

    @property
    def end(self) -> int:
        """Length of the period in seconds."""
        return self.n_days * DAY

    def has_launched(self, share: float, seconds: Codes) -> Flags:
        """Whether something that appears after a share of the period exists by then."""
        return seconds >= share * self.end
