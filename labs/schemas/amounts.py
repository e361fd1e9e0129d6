"""Amounts in the API are micro-credits: 1 credit = 1,000,000."""

from typing import Any

MICRO: dict[str, Any] = {"metadata": {"description": "micro-credits"}}
