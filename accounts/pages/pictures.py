"""The picture that a phone reads a second factor's secret from."""

from dataclasses import dataclass

import segno

from accounts.models import SecondFactor
from accounts.services import second_factor


@dataclass(frozen=True)
class Setup:
    """What the app needs, to look at and to type."""

    picture: str  # a data: URI with an SVG, which the content policy allows in <img>
    secret: str


def picture_of(factor: SecondFactor) -> Setup:
    code = segno.make(second_factor.address(factor), error="m")
    secret = second_factor.secret(factor)
    spaced = " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))
    return Setup(code.svg_data_uri(scale=5, dark="#000", light="#fff"), spaced)
