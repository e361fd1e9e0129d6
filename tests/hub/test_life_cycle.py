"""The client against a real hub: a server from order to oblivion, and the rest of the API."""

import base64
from datetime import UTC, datetime

import pytest

from labs.adapters import HubRefused, Server
from labs.adapters.jupyterhub import JupyterHub
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user

pytestmark = pytest.mark.hub


def test_the_hub_says_its_version(campus: Campus) -> None:
    assert campus.client.version().split(".")[0] == "6"


def test_a_user_is_made_once_and_may_be_asked_for_again(campus: Campus) -> None:
    user = name_of_user()

    campus.client.ensure_user(user)
    campus.client.ensure_user(user)

    found = campus.client.user(user)
    assert found
    assert found.name == user
    assert not found.admin


def test_a_server_lives_from_order_to_oblivion(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    hub = campus.client
    assert hub.server(user, server) is None
    campus.platform.order(server)
    before = datetime.now(UTC)

    hub.start(user, server, {"session": server.removeprefix("lab-")}, "Numbers  in\tPython · 数字")
    assert state(hub, user, server) == "starting"
    steps = list(hub.progress(user, server))
    ready = hub.server(user, server)

    assert [step.ready for step in steps] == [False] * (len(steps) - 1) + [True]
    assert [step.percent for step in steps] == sorted(step.percent for step in steps)
    assert ready
    assert ready.state == "running"
    assert ready.url == f"/user/{user}/{server}/"
    assert ready.full_url == campus.public_url + ready.url
    assert ready.started_at
    assert before <= ready.started_at <= datetime.now(UTC)
    assert ready.last_activity_at

    hub.start(user, server, {"session": server.removeprefix("lab-")}, "Again")
    assert state(hub, user, server) == "running"
    assert campus.platform.asked.count((user, server)) == 1

    assert campus.processes_of(server)
    hub.stop(user, server)
    assert state(hub, user, server) in ("stopping", "stopped")
    hub.stop(user, server)
    eventually(lambda: state(hub, user, server) == "stopped")
    eventually(lambda: not campus.processes_of(server))
    eventually(lambda: campus.platform.ended.count((user, server)) == 1)

    hub.remove(user, server)
    assert hub.server(user, server) is None
    hub.remove(user, server)
    hub.stop(user, server)


def test_a_running_server_is_removed_in_one_go(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.lab(user, server)

    campus.client.remove(user, server)

    eventually(lambda: campus.client.server(user, server) is None)
    eventually(lambda: not campus.processes_of(server))


def test_a_start_that_is_interrupted_ends_stopped(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.platform.order(server)
    campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    eventually(lambda: (user, server) in campus.platform.asked)

    campus.client.stop(user, server)

    eventually(lambda: state(campus.client, user, server) == "stopped")
    eventually(lambda: not campus.processes_of(server))


def test_active_servers_come_in_pages(campus: Campus) -> None:
    ordered = {(name_of_user(), name_of_server()) for _ in range(2)}
    for user, server in ordered:
        campus.platform.order(server)
        campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")

    pages = list(campus.client.active(page=1))

    found = {(server.user, server.name) for page in pages for server in page}
    assert ordered <= found
    assert len(pages) >= 2
    assert all(len({server.user for server in page}) == 1 for page in pages)
    for user, server in ordered:
        assert list(campus.client.progress(user, server))[-1].ready
        campus.client.remove(user, server)
    eventually(lambda: not any(campus.client.server(user, server) for user, server in ordered))
    assert not ordered & {(server.user, server.name) for page in campus.client.active() for server in page}


def test_a_lab_that_dies_is_noticed_and_told(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.lab(user, server)
    processes = campus.processes_of(server)

    min(processes, key=lambda process: process.create_time()).kill()

    eventually(lambda: state(campus.client, user, server) == "stopped")
    eventually(lambda: (user, server) in campus.platform.ended)
    eventually(lambda: not campus.processes_of(server))


def test_users_are_listed_and_forgotten(campus: Campus) -> None:
    users = sorted(name_of_user() for _ in range(3))
    for user in users:
        campus.client.ensure_user(user)

    found = [user.name for page in campus.client.users(page=1) for user in page]
    filtered = [user.name for page in campus.client.users(name_filter=users[0]) for user in page]

    assert set(users) <= set(found)
    assert filtered == [users[0]]
    campus.client.delete_user(users[0])
    campus.client.delete_user(users[0])
    assert campus.client.user(users[0]) is None


def test_tokens_are_minted_and_revoked(campus: Campus) -> None:
    user = name_of_user()
    campus.tester.ensure_user(user)

    token = campus.tester.mint_token(user, ["read:users!user"], 600, "test")
    holder = JupyterHub(campus.api_url, token.secret)

    assert token.secret not in repr(token)
    assert token.expires_at
    assert token.expires_at > datetime.now(UTC)
    assert holder.user(user)
    campus.tester.revoke_token(user, token.id)
    campus.tester.revoke_token(user, token.id)
    with pytest.raises(HubRefused) as refusal:
        holder.user(user)
    assert refusal.value.status in (403, 404)
    holder.close()


def test_activity_is_reported(campus: Campus) -> None:
    user = name_of_user()
    campus.tester.ensure_user(user)
    at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    campus.tester.report_activity(user, at)

    found = campus.tester.user(user)
    assert found
    assert found.last_activity_at == at


def test_groups_are_kept(campus: Campus) -> None:
    campus.tester.ensure_group("a class / 一班")
    campus.tester.ensure_group("a class / 一班")

    assert "a class / 一班" in [name for page in campus.tester.groups() for name in page]
    campus.tester.delete_group("a class / 一班")
    assert "a class / 一班" not in [name for page in campus.tester.groups() for name in page]


def test_files_of_one_session_are_there_in_the_next(campus: Campus) -> None:
    user, first, second = name_of_user(), name_of_server(), name_of_server()
    lesson = {"path": "ai-101/第一课.ipynb", "base64": base64.b64encode(b"the lesson").decode()}
    lab = campus.lab(user, first, files=[lesson], default_path="ai-101/第一课.ipynb")
    browser = campus.browser(user)

    opened = browser.get(lab)
    assert opened.status_code == 200
    assert opened.url.path.endswith("/lab/tree/ai-101/第一课.ipynb")
    assert browser.get(f"{lab}files/ai-101/第一课.ipynb").text == "the lesson"
    written = "open('ai-101/第一课.ipynb', 'w').write('my work'); open('mine.txt', 'w').write('also mine')"
    browser.run(lab, written)
    campus.client.remove(user, first)
    lab = campus.lab(user, second, files=[lesson])
    browser.open(lab)

    assert browser.get(f"{lab}files/ai-101/第一课.ipynb").text == "my work"
    assert browser.get(f"{lab}files/mine.txt").text == "also mine"
    browser.close()
    campus.client.remove(user, second)


def state(hub: JupyterHub, user: str, server: str) -> str:
    found: Server | None = hub.server(user, server)
    assert found
    return found.state
