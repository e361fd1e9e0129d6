"""Somebody of the demo campus who uses the platform over HTTP: a browser's cookies without the browser."""

import re
from typing import Any

import httpx

from tests.campus import Campus, until


class Student:
    """Li Na's browser, without the browser."""

    def __init__(self, campus: Campus, key: str = "li.na") -> None:
        who = next(one for one in campus.sign_ins if one["key"] == key)
        self.http = httpx.Client(base_url=campus.platform_url, headers={"Origin": campus.platform_url}, timeout=30)
        entered = self.http.post("/sign-in", data={"email": who["login"], "password": who["password"]})
        assert entered.status_code == 303, entered.text[:300]

    def __enter__(self) -> "Student":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def enroll(self) -> tuple[str, str]:
        """Take a seat; return the run and its first lab unit."""
        found = self.http.get("/courses/deep-learning-first-steps").text
        run = re.search(r"/runs/([0-9a-f-]{36})", found)
        assert run is not None
        self.http.post(f"/api/v1/runs/{run[1]}/enrollments", json={})
        units = self.http.get(f"/api/v1/runs/{run[1]}").json()["units"]
        return run[1], next(unit["id"] for unit in units if unit["kind"] == "lab")

    def launch(self, run: str, unit: str, minutes: int = 30) -> dict[str, Any]:
        return self.launch_with(run, unit, self.asked(run, unit, minutes))

    def asked(self, run: str, unit: str, minutes: int = 30) -> dict[str, Any]:
        """What the launch panel offers first, as the body of a launch."""
        panel = self.http.get(f"/api/v1/runs/{run}/units/{unit}/launch-panel").json()
        return {"flavor_id": panel["offers"][0]["flavor"]["id"], "minutes": minutes}

    def launch_with(self, run: str, unit: str, asked: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(f"/api/v1/runs/{run}/units/{unit}/sessions", json=asked)
        assert answer.status_code == 202, answer.text
        session: dict[str, Any] = answer.json()
        return session

    def running(self, run: str, unit: str) -> str:
        """Launch, and wait until the lab runs."""
        session_id = str(self.launch(run, unit)["id"])
        until(lambda: self.state(session_id) == "running", 120)
        return session_id

    def stop(self, session_id: str) -> None:
        """Stop the lab, and wait until it is settled."""
        self.http.post(f"/api/v1/lab-sessions/{session_id}/stop")
        until(lambda: self.state(session_id) in ("settled", "voided"), 60)

    def session(self, session_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/v1/lab-sessions/{session_id}").json()
        return found

    def live(self) -> list[str]:
        """This person's sessions that have not ended; others may be shown to them, too."""
        me = self.http.get("/api/v1/me").json()["id"]
        seen = self.http.get("/api/v1/lab-sessions/", params={"live": True}).json()
        return [str(one["id"]) for one in seen if one["person"]["id"] == me]

    def state(self, session_id: str) -> str:
        return str(self.session(session_id)["state"])
