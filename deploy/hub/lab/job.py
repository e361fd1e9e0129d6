"""What a job of a lab runs, as the account of its person: lays out the lesson, finds a port, becomes the server.

Called as `job.py <address to listen on> <first port> <last port> <arguments of start.py …>`.
"""

import base64
import json
import os
import random
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from deploy.hub import lesson_files, slurm_room
from deploy.hub.lesson_files import LessonFile

TRIES = 200


def deliver(room: Path, home: Path) -> None:
    lesson = json.loads((room / slurm_room.LESSON).read_text())
    files = [LessonFile(file["path"], base64.b64decode(file["base64"])) for file in lesson]
    lesson_files.write(home, files, record=home / ".chancai" / "lessons.json")


def free_port(ip: str, first: int, last: int) -> int:
    for _ in range(TRIES):
        port = random.randint(first, last)  # noqa: S311
        with socket.socket() as probe:
            try:
                probe.bind((ip, port))
            except OSError:
                continue
        return port
    raise SystemExit(f"no port between {first} and {last} is free")


def main() -> None:
    ip, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    room = Path(os.environ["CHANCAI_ROOM"])
    deliver(room, Path.home())
    port = free_port(ip, first, last)
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    os.environ["JUPYTERHUB_SERVICE_URL"] = f"http://{ip}:{port}{prefix}"
    slurm_room.say_port(room, port)
    start = str(Path(__file__).with_name("start.py"))
    os.execv(sys.executable, [sys.executable, "-I", start, *sys.argv[4:]])  # noqa: S606


if __name__ == "__main__":
    main()
