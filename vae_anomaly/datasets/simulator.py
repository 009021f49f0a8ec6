"""A seeded simulator of card payments with six kinds of fraud in them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd

from vae_anomaly._params import Instance, Number, check_params
from vae_anomaly.datasets.catalogue import (
    AGE_BANDS,
    CATEGORY_NAMES,
    CITIES,
    COUNTRIES,
    CURRENCIES,
    CURRENCY_OF_COUNTRY,
    UNITS_PER_EURO,
    Authentication,
    Channel,
    Device,
)
from vae_anomaly.datasets.payments import Payments, genuine_payments, is_remote
from vae_anomaly.datasets.sampling import Codes, Flags, Reals
from vae_anomaly.datasets.typologies import TYPOLOGIES
from vae_anomaly.datasets.world import (
    COUNTRY_OF_CITY,
    DAY,
    LATITUDE,
    LONGITUDE,
    MIN_MERCHANTS,
    World,
    make_customers,
    make_merchants,
)
from vae_anomaly.errors import ParameterError

_CURRENCY = np.array([CURRENCIES.index(CURRENCY_OF_COUNTRY.get(country, "EUR")) for country in COUNTRIES])
_UNITS = np.array(list(UNITS_PER_EURO.values()))
_SECONDS = Instance((str, pd.Timestamp), "a date such as '2025-01-06'")
_RULES = {
    "n_rows": (Number(100, integer=True),),
    "n_customers": (Number(1, integer=True), Instance((type(None),), "None")),
    "n_merchants": (Number(MIN_MERCHANTS, integer=True), Instance((type(None),), "None")),
    "n_days": (Number(1, integer=True),),
    "start": (_SECONDS,),
    "fraud_rate": (Number(0, 0.5),),
    "typology_shares": (Instance((Mapping, type(None)), "a mapping of typology to share or None"),),
    "missing_rate": (Number(0, 1, open_high=True),),
    "random_state": (Number(0, integer=True), Instance((np.random.Generator,), "a numpy Generator")),
}
_MAY_BE_LOST = ("city", "authentication", "device", "age_band", "distance_km")


def make_transactions(
    n_rows: int = 100_000,
    *,
    n_customers: int | None = None,
    n_merchants: int | None = None,
    n_days: int = 90,
    start: str | pd.Timestamp = "2025-01-06",
    fraud_rate: float = 0.005,
    typology_shares: Mapping[str, float] | None = None,
    missing_rate: float = 0.02,
    random_state: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Simulate card payments, some of them fraudulent.

    Customers have a home, a daily rhythm, devices, and habits by category and amount; merchants have a place, a
    category, a price level and terminals. Some genuine behaviour is odd: holidays abroad, night-shift workers, borrowed
    devices, large rare purchases. Some things first appear late in the period: the category ``ev_charging`` (after 55 %
    of it), the channel ``qr_code`` (65 %) and the device ``smart_watch`` (75 %). Frauds are of six typologies:

    - ``card_testing`` (25 %): many small online amounts within minutes, at merchants the customer never uses.
    - ``stolen_card_burst`` (20 %): several purchases within two hours, in unusual categories and places, without a PIN.
    - ``account_takeover`` (20 %): online from a strange device, transfers and the like, mostly while people sleep.
    - ``compromised_terminal`` (15 %): cards seen at a tampered terminal later pay plausible amounts elsewhere.
    - ``merchant_collusion`` (10 %): one merchant charges high, round, repeated amounts to a ring of cards at odd hours.
    - ``out_of_pattern_amount`` (10 %): far above the customer's habit in that category, yet ordinary among all amounts.

    Parameters
    ----------
    n_rows : int, default=100_000
        Number of payments, at least 100.
    n_customers : int, optional
        Number of customers; one for every 60 payments by default, at least 50.
    n_merchants : int, optional
        Number of merchants, at least one for each of the 25 categories in each of the 25 cities; by default that and
        one for every 100 payments.
    n_days : int, default=90
        Length of the period in days.
    start : str or Timestamp, default="2025-01-06"
        First day of the period.
    fraud_rate : float, default=0.005
        Share of the rows that are fraudulent; their number is rounded to the nearest.
    typology_shares : mapping of str to float, optional
        Relative share of each typology among the frauds; one that is not named has none. The shares above by default.
    missing_rate : float, default=0.02
        Share of the cells of ``city``, ``authentication``, ``device``, ``age_band`` and ``distance_km`` that are lost
        at random, on top of those that do not exist: a plain card has no device, a remote payment no terminal, and
        the place of a remote payer is often unknown.
    random_state : int or numpy.random.Generator, default=0
        Seed. The same seed and parameters give the same frame.

    Returns
    -------
    pandas.DataFrame
        Sorted by time. Columns: ``transaction_id``, ``timestamp``, ``customer_id``, ``merchant_id``, ``terminal_id``,
        ``category``, ``amount`` (in ``currency``, two decimals), ``currency``, ``country`` and ``city`` (of the
        merchant), ``channel``, ``authentication``, ``device``, ``age_band`` and ``account_age_days`` (of the
        customer), ``distance_km`` (from the customer's home to the payer), ``is_foreign`` (the merchant is in another
        country than the home), and the labels ``is_fraud`` (0 or 1) and ``typology`` ("" if genuine).

    Raises
    ------
    ParameterError
        If a parameter is outside its domain.

    Examples
    --------
    >>> from vae_anomaly.datasets import make_transactions
    >>> payments = make_transactions(1_000, fraud_rate=0.02, random_state=7)
    >>> payments.shape
    (1000, 19)
    >>> int(payments["is_fraud"].sum())
    20
    >>> payments.loc[payments["is_fraud"] == 1, "typology"].value_counts().to_dict()["card_testing"]
    5
    """
    check_params("make_transactions", locals(), _RULES)
    first_day = _first_day(start)
    counts = _fraud_counts(round(n_rows * fraud_rate), typology_shares)
    n_genuine = n_rows - sum(counts.values())
    world_rng, genuine_rng, detail_rng, *fraud_rngs = np.random.default_rng(random_state).spawn(3 + len(TYPOLOGIES))
    world = World(
        customers=make_customers(n_customers or max(50, n_rows // 60), n_days, world_rng),
        merchants=make_merchants(n_merchants or MIN_MERCHANTS + n_rows // 100, world_rng),
        n_days=n_days,
        first_weekday=first_day.weekday(),
    )
    genuine = genuine_payments(world, n_genuine, genuine_rng)
    frauds = [
        kind.make(counts[name], world, genuine, rng)
        for (name, kind), rng in zip(TYPOLOGIES.items(), fraud_rngs, strict=True)
        if counts[name]
    ]
    typology = np.repeat(np.arange(-1, len(TYPOLOGIES)), [n_genuine, *counts.values()])
    payments = Payments.joined([genuine, *frauds])
    by_time = np.argsort(payments.seconds, kind="stable")
    frame = _as_frame(world, payments[by_time], first_day, detail_rng)
    _lose_cells(frame, missing_rate, detail_rng)
    return _labelled(frame, typology[by_time])


def _first_day(start: str | pd.Timestamp) -> pd.Timestamp:
    try:
        return pd.Timestamp(start).normalize()
    except ValueError as error:
        raise ParameterError(
            f"The 'start' parameter of make_transactions must be {_SECONDS}. Got {start!r} instead."
        ) from error


def _fraud_counts(n: int, shares: Mapping[str, float] | None) -> dict[str, int]:
    """How many frauds of each typology, n in all."""
    wanted = {name: kind.share for name, kind in TYPOLOGIES.items()} if shares is None else shares
    known = set(wanted) <= set(TYPOLOGIES) and all(Number(0).allows(share) for share in wanted.values())
    if not known or sum(wanted.values()) <= 0:
        raise ParameterError(
            f"The 'typology_shares' parameter of make_transactions must map some of {', '.join(TYPOLOGIES)} to "
            f"numbers that are not negative and not all zero. Got {shares!r} instead."
        )
    relative = np.array([wanted.get(name, 0.0) for name in TYPOLOGIES])
    ends = np.round(n * np.cumsum(relative) / relative.sum()).astype(int)
    return dict(zip(TYPOLOGIES, np.diff(ends, prepend=0).tolist(), strict=True))


def _as_frame(world: World, payments: Payments, first_day: pd.Timestamp, rng: np.random.Generator) -> pd.DataFrame:
    """Payments with everything that follows from the world, in words and units."""
    who, merchant = payments.customer, payments.merchant
    country = COUNTRY_OF_CITY[world.merchants.city[merchant]]
    currency = _CURRENCY[country]
    return pd.DataFrame(
        {
            "transaction_id": _numbered("T", np.arange(len(payments)), width=8),
            "timestamp": first_day.to_datetime64().astype("datetime64[ns]") + payments.seconds.astype("timedelta64[s]"),
            "customer_id": _numbered("C", who),
            "merchant_id": _numbered("M", merchant),
            "terminal_id": _numbered("P", payments.terminal),
            "category": _named(CATEGORY_NAMES, world.merchants.category[merchant]),
            "amount": np.round(payments.euros * _UNITS[currency], 2),
            "currency": _named(CURRENCIES, currency),
            "country": _named(COUNTRIES, country),
            "city": _named([city.name for city in CITIES], world.merchants.city[merchant]),
            "channel": _named(_lower(Channel), payments.channel),
            "authentication": _named(_lower(Authentication), payments.authentication),
            "device": _named(_lower(Device), payments.device),
            "age_band": _named(AGE_BANDS, world.customers.age_band[who]),
            "account_age_days": world.customers.account_age[who] + payments.seconds // DAY,
            "distance_km": np.where(payments.located, _distance_km(world, payments, rng), np.nan),
            "is_foreign": COUNTRY_OF_CITY[world.customers.city[who]] != country,
        }
    )


def _distance_km(world: World, payments: Payments, rng: np.random.Generator) -> Reals:
    """From the home to the terminal, or to where the payer of a remote payment is; great circles, 100 m steps."""
    home, remote = payments.customer, is_remote(payments.channel)
    at_home = remote & (payments.origin == world.customers.city[home])
    latitude = np.where(remote, LATITUDE[payments.origin], world.merchants.latitude[payments.merchant])
    longitude = np.where(remote, LONGITUDE[payments.origin], world.merchants.longitude[payments.merchant])
    kilometres = _great_circle(world.customers.latitude[home], world.customers.longitude[home], latitude, longitude)
    nearby = rng.exponential(1.0, len(payments))
    kilometres = np.where(at_home, nearby, kilometres)
    return np.round(kilometres, 1)


def _great_circle(latitude: Reals, longitude: Reals, to_latitude: Reals, to_longitude: Reals) -> Reals:
    phi, to_phi = np.radians(latitude), np.radians(to_latitude)
    half = np.sin((to_phi - phi) / 2) ** 2
    half += np.cos(phi) * np.cos(to_phi) * np.sin(np.radians(to_longitude - longitude) / 2) ** 2
    kilometres: Reals = 2 * 6371 * np.arcsin(np.sqrt(half))
    return kilometres


def _named(names: Any, codes: Codes) -> pd.Series:
    """Codes as text; -1 is missing."""
    table = pd.Series(list(names)).array
    return pd.Series(table.take(codes, allow_fill=True))


def _numbered(letter: str, codes: Codes, width: int = 6) -> pd.Series:
    """Codes as numbered names; -1 is missing."""
    used = np.arange(codes.max(initial=-1) + 1)
    return _named(np.char.add(letter, np.char.zfill(used.astype(str), width)), codes)


def _lower(codes: type[IntEnum]) -> list[str]:
    return [code.name.lower() for code in codes]


def _lose_cells(frame: pd.DataFrame, rate: float, rng: np.random.Generator) -> None:
    for name in _MAY_BE_LOST:
        lost: Flags = rng.random(len(frame)) < rate
        frame[name] = frame[name].mask(lost)


def _labelled(frame: pd.DataFrame, typology: Codes) -> pd.DataFrame:
    names = _named([*TYPOLOGIES, ""], np.where(typology < 0, len(TYPOLOGIES), typology))
    return frame.assign(is_fraud=(typology >= 0).astype(np.int64), typology=names)
