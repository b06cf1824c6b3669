"""Amounts of money as Telegram gives them: whole numbers of a currency's smallest unit."""

from __future__ import annotations

from typing import Final

# By ISO 4217; all others have two decimals here.
_NO_DECIMALS: Final = ("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF")


def amount(units: int, currency: str) -> str:
    """Return an amount as people write it.

    >>> amount(1450, "EUR"), amount(50, "XTR"), amount(300, "JPY")
    ('14.50 EUR', '50 Stars', '300 JPY')
    """
    if currency == "XTR":
        return f"{units} Stars"
    return f"{units} {currency}" if currency in _NO_DECIMALS else f"{units / 100:.2f} {currency}"
