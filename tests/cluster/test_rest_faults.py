"""slurmrestd that fails, breaks off or believes no token: labs go on, starts fail in words, and then all is well."""

import http.client
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import jwt
import pytest

from deploy.cluster import hub_files
from deploy.cluster.layout import Layout
from labs.adapters.slurmrestd import SlurmRest
from tests.cluster.conftest import ClusterCampus, eventually, make_campus
from tests.hub.conftest import name_of_server, name_of_user

pytestmark = pytest.mark.cluster
Answer = tuple[int, bytes]


class Middle(ThreadingHTTPServer):
    """Stands in front of the real slurmrestd; `spoil` says what becomes of an answer, and how much of it is sent."""

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = urlsplit(behind).netloc
        self.spoil: Callable[[Answer], tuple[Answer, int | None]] = whole
        self.spoiled = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Middle

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: self.headers[name] for name in self.headers if name.lower().startswith(("x-slurm", "content"))}
        behind = http.client.HTTPConnection(self.server.behind, timeout=30)
        behind.request(self.command, self.path, body or None, headers)
        response = behind.getresponse()
        (status, content), sent = self.server.spoil((response.status, response.read()))
        behind.close()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[:sent])
        self.close_connection = True
        self.server.spoiled += self.server.spoil is not whole

    do_GET = do_POST = do_DELETE = pass_on

    def log_message(self, *_words: object) -> None:
        pass


def whole(answer: Answer) -> tuple[Answer, int | None]:
    return answer, None


def failing(_answer: Answer) -> tuple[Answer, int | None]:
    return (500, b"<h1>Internal Server Error</h1>"), None


def half(answer: Answer) -> tuple[Answer, int | None]:
    return answer, len(answer[1]) // 2


def half_but_whole(answer: Answer) -> tuple[Answer, int | None]:
    """Cut off, and the length says that this is all."""
    return (answer[0], answer[1][: len(answer[1]) // 2]), None


@pytest.fixture(scope="module")
def middle(cluster: Layout) -> Iterator[Middle]:
    middle = Middle(cluster.rest_url)
    thread = Thread(target=middle.serve_forever, daemon=True)
    thread.start()
    yield middle
    middle.shutdown()
    middle.server_close()


@pytest.fixture(scope="module")
def behind(cluster: Layout, middle: Middle) -> Iterator[ClusterCampus]:
    """A hub that speaks to slurmrestd by way of the middle, with a token from a file."""
    campus = make_campus(cluster)
    token = campus.folder / "token"
    token.write_text(new_token(cluster, 3600))
    token.chmod(0o644)
    usual = hub_files.slurm_file

    def file(layout: Layout) -> Path:
        path = usual(layout)
        body = json.loads(path.read_text()) | {"rest_url": middle.url, "token_file": str(token)}
        path.write_text(json.dumps({name: value for name, value in body.items() if name != "jwt_key_file"}))
        return path

    hub_files.slurm_file = file
    try:
        campus.start()
        yield campus
    finally:
        hub_files.slurm_file = usual
        campus.close()


def new_token(cluster: Layout, seconds: int) -> str:
    import time

    claims = {"exp": int(time.time()) + seconds, "iat": int(time.time()), "sun": "slurm"}
    return jwt.encode(claims, cluster.jwt_key.read_bytes(), "HS256")


@pytest.mark.parametrize("spoil", [failing, half, half_but_whole])
def test_a_lab_goes_on_while_slurmrestd_fails(
    spoil: Callable[[Answer], tuple[Answer, int | None]], behind: ClusterCampus, middle: Middle, slurm: SlurmRest
) -> None:
    user, server = name_of_user(), name_of_server()
    behind.lab(user, server)
    before = middle.spoiled

    middle.spoil = spoil
    try:
        eventually(lambda: middle.spoiled >= before + 3)
        found = behind.client.server(user, server)
        assert found
        assert found.state == "running"
        late = name_of_server()
        behind.platform.order(late)
        behind.client.start(user, late, {"session": late.removeprefix("lab-")}, "Lab")
        steps = list(behind.client.progress(user, late))
        assert steps[-1].failed
        proof = behind.client.evidence(user, late)
        assert proof
        assert (proof.is_final, proof.code) == (False, "cluster-silent"), proof
    finally:
        middle.spoil = whole

    behind.client.remove(user, server)
    eventually(lambda: behind.client.server(user, server) is None)
    running = [job for job in slurm.jobs("slurm") if job.name in (server, late) and not job.has_ended]
    assert not running  # what was submitted although the answer was lost is cancelled too


def test_an_expired_token_ends_no_lab(behind: ClusterCampus, cluster: Layout, slurm: SlurmRest) -> None:
    user, server, late = name_of_user(), name_of_server(), name_of_server()
    behind.lab(user, server)
    token = behind.folder / "token"

    token.write_text(new_token(cluster, -60))
    behind.platform.order(late)
    behind.client.start(user, late, {"session": late.removeprefix("lab-")}, "Lab")
    steps = list(behind.client.progress(user, late))

    assert steps[-1].failed
    proof = behind.client.evidence(user, late)
    assert proof
    assert (proof.is_final, proof.code) == (False, "cluster-silent"), proof
    found = behind.client.server(user, server)
    assert found
    assert found.state == "running"
    token.write_text(new_token(cluster, 3600))
    behind.client.remove(user, server)
    eventually(lambda: behind.client.server(user, server) is None)
    assert not [job for job in slurm.jobs("slurm") if job.name in (server, late) and not job.has_ended]
