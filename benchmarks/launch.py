"""How long a student waits: from Launch until JupyterLab is usable, and how much of that is the hub's own time.

The hub's own time is what its REST API says of the start: from `started` of the server until its progress stream says
ready. Everything else between Launch and ready is the platform's. Several launches one after another, medians.
"""

import json
import statistics
import threading
import time
from dataclasses import dataclass

from playwright.sync_api import sync_playwright

from app import locale
from app.embedded import chromium
from benchmarks.table import Measurement
from labs.adapters.jupyterhub import JupyterHub
from tests import campus as campuses
from tests.campus import Campus, until
from tests.visitor import Student

LAUNCHES = 7


@dataclass(frozen=True)
class Launch:
    """One launch, in seconds."""

    total: float  # from Launch until the platform says that it runs
    hub: float  # of these the hub's own
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
        Measurement("… of it the platform's", f"{added * 1000:.0f} ms", f"{added / total:.0%}"),
    ]
    if shown:
        remark = "in Chromium: sign-on to the hub, page, notebook open"
        rows.append(Measurement("Opening it until the notebook is there", f"{statistics.median(shown):.2f} s", remark))
    return rows


def _launch(campus: Campus, student: Student, lab: tuple[str, str]) -> Launch:
    began = time.time()
    session = student.launch(*lab)
    ready_at_hub: list[float] = []
    watch = threading.Thread(target=_watch_hub, args=(campus, session, ready_at_hub))
    watch.start()
    until(lambda: student.state(session["id"]) == "running", 120)
    total = time.time() - began
    watch.join(30)
    started = _server(campus, session).started_at
    if started is None or not ready_at_hub:
        raise RuntimeError(f"the hub did not say when it was ready: {started=} {ready_at_hub=}")
    hub = ready_at_hub[0] - started.timestamp()
    shown = _open(campus, student, session["id"])
    student.stop(session["id"])
    return Launch(total, hub, shown)


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


def _server(campus: Campus, session: dict[str, object]):  # type: ignore[no-untyped-def]
    hub, user, server = _names(campus, session)
    found = hub.server(user, server)
    hub.close()
    assert found is not None
    return found


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
