"""Looking into somebody else's lab: who was let in may look, and nothing else; who was not sees nothing."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import websocket
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import browser, context  # noqa: F401  (fixtures)
from tests.hub.browser import Browser
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user
from tests.hub.test_notices import NOTEBOOK, news, sign_in

pytestmark = pytest.mark.hub


@dataclass
class Visit:
    """A lab with an owner inside, and somebody who was let in."""

    campus: Campus
    user: str
    server: str
    lab: str
    owner: Browser
    guest: Browser
    kernel: str

    def as_guest(self, method: str, path: str, **more: object) -> httpx.Response:
        return self.guest.ask(method, f"{self.lab}{path}", **more)


@pytest.fixture(scope="module")
def visit(campus: Campus) -> Iterator[Visit]:
    user, server, guest = name_of_user(), name_of_server(), name_of_user()
    campus.platform.news[server] = news()
    lab = campus.lab(user, server)
    home = campus.homes / user
    (home / "notes.txt").write_text("what I found")
    (home / "notes.txt").chmod(0o666)
    (home / "work.ipynb").write_text(json.dumps(NOTEBOOK))
    (home / "work.ipynb").chmod(0o666)
    campus.client.share(user, server, guest)
    with campus.browser(user) as owner, campus.browser(guest) as visitor:
        owner.open(lab)
        kernel = owner.ask("POST", f"{lab}api/kernels", json={"name": "python3"}).json()["id"]
        assert visitor.open(lab).status_code == 200
        yield Visit(campus, user, server, lab, owner, visitor, kernel)
    campus.client.remove(user, server)


def test_a_guest_reads_files_and_sees_what_runs(visit: Visit) -> None:
    file = visit.as_guest("GET", "api/contents/notes.txt").json()
    folder = visit.as_guest("GET", "api/contents").json()

    assert (file["content"], file["writable"]) == ("what I found", False)
    assert {entry["name"]: entry["writable"] for entry in folder["content"]}["work.ipynb"] is False
    assert visit.as_guest("GET", "files/notes.txt").text == "what I found"
    assert [kernel["id"] for kernel in visit.as_guest("GET", "api/kernels").json()] == [visit.kernel]
    assert visit.as_guest("GET", "api/sessions").json() == []
    assert visit.owner.get(f"{visit.lab}api/contents/notes.txt").json()["writable"] is True


def test_nothing_in_a_notebook_is_trusted_for_a_guest(visit: Visit) -> None:
    path = "api/contents/trusted.ipynb"
    visit.owner.ask("PUT", f"{visit.lab}{path}", json={"type": "notebook", "format": "json", "content": NOTEBOOK})
    assert visit.owner.ask("POST", f"{visit.lab}api/contents/trusted.ipynb/trust", json={}).status_code == 201

    def is_trusted(who: Browser) -> bool:
        (cell,) = who.ask("GET", f"{visit.lab}{path}").json()["content"]["cells"]
        return bool(cell["metadata"].get("trusted"))

    assert is_trusted(visit.owner)
    assert not is_trusted(visit.guest)


WRITING = [
    ("PUT", "api/contents/new.txt", {"type": "file", "format": "text", "content": "x"}),
    ("PUT", "api/contents/notes.txt", {"type": "file", "format": "text", "content": "x"}),
    ("PATCH", "api/contents/notes.txt", {"path": "moved.txt"}),
    ("DELETE", "api/contents/notes.txt", None),
    ("POST", "api/contents", {"type": "notebook"}),
    ("POST", "api/contents/notes.txt/checkpoints", None),
    ("POST", "api/contents/work.ipynb/trust", {}),
    ("POST", "api/kernels", {"name": "python3"}),
    ("POST", "api/kernels/{kernel}/interrupt", None),
    ("POST", "api/kernels/{kernel}/restart", None),
    ("DELETE", "api/kernels/{kernel}", None),
    ("POST", "api/sessions", {"path": "x", "type": "notebook", "kernel": {"name": "python3"}}),
    ("POST", "api/terminals", {}),
    ("PUT", "lab/api/workspaces/default", {"data": {}, "metadata": {"id": "default"}}),
    ("PUT", "lab/api/settings/@jupyterlab/apputils-extension:themes", {"raw": "{}"}),
    ("PATCH", "api/config/notebook", {"x": 1}),
    ("POST", "api/nbconvert/html", NOTEBOOK),
    ("GET", "nbconvert/html/work.ipynb", None),
    ("POST", "api/security/csp-report", {}),
    ("POST", "api/shutdown", None),
    ("POST", "lab/api/extensions", {"cmd": "install", "extension_name": "x"}),
    ("GET", "terminals/websocket/1", None),
    ("GET", "view/notes.txt", None),
    ("GET", "metrics", None),
    ("POST", "chancai/keep-alive", {"minutes": 60}),
    ("POST", "chancai/saved", {"save": "a", "browser": "b"}),
    ("POST", "chancai/save", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITING)
def test_a_guest_changes_nothing(visit: Visit, method: str, path: str, body: object) -> None:
    answer = visit.as_guest(method, path.format(kernel=visit.kernel), json=body)

    assert answer.status_code == 403, answer.text[:300]
    assert (visit.campus.homes / visit.user / "notes.txt").read_text() == "what I found"
    assert visit.kernel in [kernel["id"] for kernel in visit.owner.get(f"{visit.lab}api/kernels").json()]


def test_what_a_guest_may_not_the_owner_may(visit: Visit) -> None:
    """So that the test above fails for the right reason only."""
    body = {"type": "file", "format": "text", "content": "x"}

    assert visit.owner.ask("PUT", f"{visit.lab}api/contents/own.txt", json=body).status_code == 201
    assert visit.owner.ask("POST", f"{visit.lab}api/terminals", json={}).status_code == 200
    assert visit.owner.run(visit.lab, "print(6 * 7)") == "42"


@pytest.mark.parametrize("path", ["api/kernels/{kernel}/channels", "terminals/websocket/1", "api/events/subscribe"])
def test_no_websocket_opens_for_a_guest(visit: Visit, path: str) -> None:
    visit.owner.ask("POST", f"{visit.lab}api/terminals", json={})
    url = f"{visit.lab.replace('http', 'ws', 1)}{path.format(kernel=visit.kernel)}"
    cookie = "; ".join(f"{one.name}={one.value}" for one in visit.guest.cookies.jar)

    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        websocket.create_connection(url, cookie=cookie, origin=visit.guest.hub, timeout=10)

    assert refusal.value.status_code == 403


def test_the_guests_own_token_opens_no_more_than_the_cookie(visit: Visit) -> None:
    page = visit.guest.open(visit.lab).text
    config = json.loads(page.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])
    headers = {"Authorization": f"token {config['token']}"}

    read = httpx.get(f"{visit.lab}api/contents/notes.txt", headers=headers, trust_env=False)
    write = httpx.post(f"{visit.lab}api/terminals", headers=headers, json={}, trust_env=False)

    assert config["token"]
    assert (read.status_code, write.status_code) == (200, 403)


def test_the_platforms_own_token_lets_people_in_but_goes_in_nowhere(visit: Visit) -> None:
    headers = {"Authorization": f"token {visit.campus.token}"}

    for path in ("api/contents", "api/kernels", "lab"):
        assert httpx.get(f"{visit.lab}{path}", headers=headers, trust_env=False).status_code == 403
    assert httpx.post(f"{visit.lab}api/terminals", headers=headers, trust_env=False).status_code == 403


def test_a_stranger_sees_nothing(visit: Visit) -> None:
    with visit.campus.browser(name_of_user()) as stranger:
        assert stranger.open(visit.lab).status_code == 403
        assert stranger.ask("GET", f"{visit.lab}api/contents/notes.txt").status_code == 403


def test_a_guest_of_one_lab_is_a_stranger_in_the_next(visit: Visit) -> None:
    user, server = name_of_user(), name_of_server()
    other = visit.campus.lab(user, server)

    assert visit.guest.open(other).status_code == 403

    visit.campus.client.remove(user, server)


def test_a_guest_neither_keeps_a_lab_awake_nor_counts_as_its_person(campus: Campus) -> None:
    user, server, guest = name_of_user(), name_of_server(), name_of_user()
    lab = campus.lab(user, server)
    campus.client.share(user, server, guest)

    with campus.browser(guest) as visitor:
        visitor.open(lab)
        assert visitor.ask("GET", f"{lab}chancai/news?browser=b&told=&wait=0").json()["is_guest"] is True

    first = len(eventually(lambda: campus.platform.reports.get(server, [])))
    eventually(lambda: len(campus.platform.reports[server]) > first + 7)
    row = campus.platform.reports[server][-1]
    assert (row["last_seen_person_at"], row["busy_kernels"]) == (None, 0)
    campus.client.remove(user, server)


def test_who_is_no_longer_welcome_is_out_within_seconds(campus: Campus) -> None:
    user, server, guest = name_of_user(), name_of_server(), name_of_user()
    lab = campus.lab(user, server)
    campus.client.share(user, server, guest)
    with campus.browser(guest) as visitor:
        visitor.open(lab)
        assert visitor.ask("GET", f"{lab}api/contents").status_code == 200

        campus.client.unshare(user, server, guest)
        ended = time.monotonic()
        eventually(lambda: visitor.ask("GET", f"{lab}api/contents").status_code == 403)

        assert time.monotonic() - ended < 20
        assert visitor.open(lab).status_code == 403
    campus.client.remove(user, server)


def test_a_lab_that_starts_anew_has_no_guests(campus: Campus) -> None:
    user, server, guest = name_of_user(), name_of_server(), name_of_user()
    campus.lab(user, server)
    campus.client.share(user, server, guest)
    campus.client.remove(user, server)
    eventually(lambda: campus.client.server(user, server) is None)

    lab = campus.lab(user, server)

    with campus.browser(guest) as visitor:
        assert visitor.open(lab).status_code == 403
    campus.client.remove(user, server)


@pytest.mark.browser
def test_jupyterlab_tells_a_guest_so_and_shows_a_notebook_without_a_fuss(
    visit: Visit,
    context: BrowserContext,  # noqa: F811
) -> None:
    sign_in(visit.campus, context, visit.guest.person)
    page = context.new_page()

    page.goto(f"{visit.lab}lab/tree/work.ipynb")

    expect(page.locator(".Toastify__toast").first).to_contain_text(
        "You are looking at 王伟’s lab; nothing can be changed.", timeout=60_000
    )
    expect(page.locator(".chancai-time")).to_have_text("Read-only")
    expect(page.locator(".jp-Notebook .jp-Cell .cm-content").first).to_contain_text("x = 1", timeout=60_000)
    page.wait_for_timeout(3000)
    expect(page.locator(".jp-Dialog")).to_have_count(0)
    expect(page.get_by_text("Launcher", exact=True)).to_have_count(0)
