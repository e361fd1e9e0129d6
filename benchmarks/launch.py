"""How long a student waits: from Launch until JupyterLab is usable, and how much of that is the hub's own time.

Launch is the moment in which its request leaves the student; ready is the one from which the platform says that the
lab runs. The hub's own time is from the order that the platform sends it until its progress stream says ready, less the
time in which it waits for the platform's admission. What is left is the platform's. The platform's log tells when it
sent the order, and how long admission took. Several launches one after another, medians.
"""

import json
import re
import statistics
import threading
import time
from dataclasses import dataclass
from datetime import datetime

from playwright.sync_api import sync_playwright

from app import locale
from app.embedded import chromium
from benchmarks.table import Measurement
from labs.adapters.jupyterhub import JupyterHub
from tests import campus as campuses
from tests.campus import Campus, until
from tests.visitor import Student

LAUNCHES = 11
LOGGED = r"(\S+ \S+) INFO .* {what} session={session} milliseconds=(\d+)"


@dataclass(frozen=True)
class Launch:
    """One launch, in seconds."""

    total: float  # from Launch until the platform says that it runs
    hub: float  # of these the hub's own
    admission: float  # of the platform's, while the hub waits
    browser: float | None  # from opening it until the notebook is there


def measure() -> list[Measurement]:
    with campuses.room() as folder, campuses.started(folder / "var") as campus, Student(campus) as student:
        lab = student.enroll()
        _launch(campus, student, lab)  # once to warm up
        launches = [_launch(campus, student, lab) for _ in range(LAUNCHES)]
    total = statistics.median(launch.total for launch in launches)
    hub = statistics.median(launch.hub for launch in launches)
    added = statistics.median(launch.total - launch.hub for launch in launches)
    shown = [launch.browser for launch in launches if launch.browser is not None]
    rows = [
        Measurement("Launch until the lab runs", f"{total:.2f} s", f"median of {LAUNCHES}"),
        Measurement("… of it the hub's own time", f"{hub:.2f} s", "the single-user server in its sandbox"),
        Measurement(
            "… of it the platform's",
            f"{added * 1000:.0f} ms",
            f"{added / hub:.1%} of the hub's; the limits are 5% and 150 ms",
        ),
    ]
    if shown:
        remark = "in Chromium: sign-on to the hub, page, notebook open"
        rows.append(Measurement("Opening it until the notebook is there", f"{statistics.median(shown):.2f} s", remark))
    return rows


def _launch(campus: Campus, student: Student, lab: tuple[str, str]) -> Launch:
    asked = student.asked(*lab)
    began = time.time()
    session = student.launch_with(*lab, asked)
    ready_at_hub: list[float] = []
    watch = threading.Thread(target=_watch_hub, args=(campus, session, ready_at_hub))
    watch.start()
    until(lambda: student.state(session["id"]) == "running", 120, every=0.5)
    total = datetime.fromisoformat(student.session(session["id"])["ready_at"]).timestamp() - began
    watch.join(30)
    if not ready_at_hub:
        raise RuntimeError("the hub did not say when it was ready")
    answered, took = _logged(campus, "ordered from the hub", session)
    _, admission = _logged(campus, "start admitted", session)
    hub = ready_at_hub[0] - (answered - took) - admission
    shown = _open(campus, student, session["id"])
    student.stop(session["id"])
    return Launch(total, hub, admission, shown)


def _watch_hub(campus: Campus, session: dict[str, object], ready: list[float]) -> None:
    """Follow the hub's own progress stream, as nobody on the platform does."""
    hub, user, server = _names(campus, session)
    try:
        until(lambda: (found := hub.server(user, server)) is not None and found.state != "stopped", 60)
        for step in hub.progress(user, server):
            if step.ready:
                ready.append(time.time())
    finally:
        hub.close()


def _logged(campus: Campus, what: str, session: dict[str, object]) -> tuple[float, float]:
    """When the platform wrote this line about the session, and how many seconds it says that it took."""
    found = re.search(LOGGED.format(what=what, session=session["id"]), campus.said)
    if found is None:
        raise RuntimeError(f"the platform did not log {what!r}")
    return datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp(), int(found[2]) / 1000


def _names(campus: Campus, session: dict[str, object]) -> tuple[JupyterHub, str, str]:
    known = json.loads((campus.var_dir / "secrets" / "hubs.json").read_text())[0]
    person = session["person"]
    assert isinstance(person, dict)
    user, server = str(person["id"]).replace("-", ""), "lab-" + str(session["id"]).replace("-", "")
    return JupyterHub(known["api_url"], known["token"]), user, server


def _open(campus: Campus, student: Student, session_id: str) -> float | None:
    """Seconds from the click until the notebook shows, in a browser that has seen the platform but not the lab."""
    program = chromium.find()
    if program is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(locale=next(iter(locale.LANGUAGES)).replace("_", "-"))
        cookies = [
            {"name": c.name, "value": c.value or "", "url": campus.platform_url} for c in student.http.cookies.jar
        ]
        context.add_cookies(cookies)  # type: ignore[arg-type]
        page = context.new_page()
        began = time.monotonic()
        page.goto(f"{campus.platform_url}/labs/{session_id}/open")
        page.wait_for_selector(".jp-Notebook", timeout=60_000)
        shown = time.monotonic() - began
        browser.close()
    return shown
