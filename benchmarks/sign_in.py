"""What it costs to know who somebody is: signing in beside bare argon2, and a request with a token beside one without.

Against a whole platform as `make run` starts it, over HTTP. Each sign-in stands beside a bare verification of a hash
with the same parameters, made just before it by the same machine; medians, and the median of the differences. On a
machine that others use too, argon2 wants cores that it does not get; processor time is counted for that reason.
"""

import statistics
import time
from collections.abc import Callable

import httpx
import psutil
from argon2 import PasswordHasher

from benchmarks.table import Measurement
from tests import campus as campuses
from tests.campus import Campus
from tests.visitor import Student

SIGN_INS = 40
REQUESTS = 300
PASSWORD = "industry-and-talent"
NOTHING_FOUND = "/api/v1/courses?partner=none"  # a public list that is empty, so that little else is done


def measure() -> list[Measurement]:
    with campuses.room() as folder, campuses.started(folder / "var") as campus:
        return [*_signing_in(campus), *_checking_a_token(campus)]


def _signing_in(campus: Campus) -> list[Measurement]:
    hasher = PasswordHasher()
    stored, login = hasher.hash(PASSWORD), campus.sign_ins[0]["login"]
    bare, whole = [], []
    with httpx.Client(base_url=campus.platform_url, timeout=30) as http:
        worked = _work_of_one(hasher, stored, campus, http, login)
        for number in range(SIGN_INS + 5):
            alone, over_http = _ms(lambda: hasher.verify(stored, PASSWORD)), _ms(lambda: _sign_in(http, login))
            if number >= 5:  # the first ones load what the rest have
                bare.append(alone)
                whole.append(over_http)
    more = statistics.median(a - b for a, b in zip(whole, bare, strict=True))
    remark = f"median of {SIGN_INS}; the limit is 10 ms"
    return [
        Measurement("argon2id alone, verifying a password", f"{statistics.median(bare):.1f} ms"),
        Measurement("Signing in over HTTP, session and trail written", f"{statistics.median(whole):.1f} ms"),
        Measurement("… more than argon2 alone", f"{more:.1f} ms", remark),
        Measurement("… in processor time, of web and database", f"{worked:.1f} ms", "depends less on who else works"),
    ]


def _work_of_one(hasher: PasswordHasher, stored: str, campus: Campus, http: httpx.Client, login: str) -> float:
    """Milliseconds of processor time that signing in takes beyond argon2's."""
    _sign_in(http, login)
    ours, servers = psutil.Process(), _servers(campus)
    before = _worked([ours])
    for _ in range(SIGN_INS):
        hasher.verify(stored, PASSWORD)
    alone, before = _worked([ours]) - before, _worked(servers)
    for _ in range(SIGN_INS):
        _sign_in(http, login)
    return (_worked(servers) - before - alone) * 1000 / SIGN_INS


def _servers(campus: Campus) -> list[psutil.Process]:
    """The web server and the database with all their processes."""
    found = [psutil.Process(campus.parts[name]) for name in ("web", "postgres")]
    return [process for one in found for process in (one, *one.children(recursive=True))]


def _worked(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _checking_a_token(campus: Campus) -> list[Measurement]:
    with Student(campus) as student:
        body = {"name": "bench", "scopes": ["courses:read"]}
        secret = student.http.post("/api/v1/me/tokens", json=body).json()["token"]
    token = {"Authorization": f"Bearer {secret}"}
    without, with_token = [], []
    with httpx.Client(base_url=campus.platform_url, timeout=30) as http:
        for number in range(REQUESTS + 20):
            plain, known = _ms(lambda: _get(http, {})), _ms(lambda: _get(http, token))
            if number >= 20:
                without.append(plain)
                with_token.append(known)
    more = statistics.median(a - b for a, b in zip(with_token, without, strict=True))
    return [
        Measurement("An empty list of the API, without a token", f"{statistics.median(without):.2f} ms"),
        Measurement("… with a token", f"{statistics.median(with_token):.2f} ms"),
        Measurement("… more for the token", f"{more:.2f} ms", f"one indexed query; median of {REQUESTS}"),
    ]


def _sign_in(http: httpx.Client, login: str) -> None:
    http.cookies.clear()
    answer = http.post("/sign-in", data={"email": login, "password": PASSWORD})
    if answer.status_code != 303:
        raise RuntimeError(f"not signed in: {answer.status_code}")


def _get(http: httpx.Client, headers: dict[str, str]) -> None:
    http.get(NOTHING_FOUND, headers=headers).raise_for_status()


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000
