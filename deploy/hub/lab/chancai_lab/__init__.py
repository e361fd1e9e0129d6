"""The platform inside a lab's server: says how busy the lab is, takes news to the browser, lets guests only look.

Loaded by `../config/jupyter_server_config.py`; `guests` by `../start.py`, because without it no lab may start.
"""

import os
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "chancai_lab"}]


def _load_jupyter_server_extension(server: Any) -> None:
    if not os.environ.get("CHANCAI_ROOM"):
        return
    from . import handlers
    from .browsers import Browsers
    from .measuring import Measuring
    from .room import Room

    room = Room(os.environ["CHANCAI_ROOM"])
    browsers = Browsers(room)
    measuring = Measuring(server, room, browsers)
    handlers.add(server, browsers, measuring)
    server.chancai = (browsers, measuring)


async def _start_jupyter_server_extension(server: Any) -> None:
    """Everything is there by now, and the loop runs."""
    if not hasattr(server, "chancai"):
        return
    from . import guests

    browsers, measuring = server.chancai
    guests.show_as_read_only(server)
    browsers.start()
    measuring.start()
