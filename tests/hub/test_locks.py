"""What people may not do on the hub, tried as the people: by its pages, by its API, with the lab's own token."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from flask import jsonify

from labs.adapters import HubRefused
from labs.adapters.jupyterhub import JupyterHub
from tests.hub.browser import Browser
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user

pytestmark = pytest.mark.hub


@dataclass
class Student:
    """Somebody with a running lab, signed in to the hub."""

    name: str
    server: str
    lab: str
    browser: Browser


@pytest.fixture(scope="module")
def student(campus: Campus) -> Iterator[Student]:
    name, server = name_of_user(), name_of_server()
    lab = campus.lab(name, server)
    with campus.browser(name) as browser:
        assert browser.open(lab).status_code == 200
        browser.get(f"{campus.public_url}/hub/home")
        assert browser.xsrf("/hub/")
        yield Student(name, server, lab, browser)
    campus.client.remove(name, server)


def servers_of(campus: Campus, user: str) -> set[str]:
    found = campus.client.user(user)
    assert found
    return {server.name for server in found.servers}


PAGES = ["spawn", "spawn/{user}", "spawn/{user}/{free}", "spawn/{user}/{server}"]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_the_hub_start_nothing(campus: Campus, student: Student, page: str, method: str) -> None:
    asked = len(campus.platform.asked)
    path = page.format(user=student.name, server=student.server, free=name_of_server())
    url = f"{campus.public_url}/hub/{path}?_xsrf={student.browser.xsrf('/hub/')}"

    answer = student.browser.ask(method, url)

    assert answer.status_code == 403
    assert len(campus.platform.asked) == asked
    assert servers_of(campus, student.name) == {student.server}


CHANGES = [
    ("POST", "users/{user}/servers/{free}"),
    ("POST", "users/{user}/server"),
    ("PUT", "users/{user}/servers/{free}"),
    ("PATCH", "users/{user}/servers/{server}"),
    ("POST", "users/{user}/tokens"),
    ("POST", "users/{user}"),
    ("DELETE", "users/{user}"),
    ("POST", "users"),
    ("GET", "users"),
    ("GET", "users/{other}"),
    ("DELETE", "users/{other}/servers/{server}"),
    ("POST", "shares/{user}/{server}"),
    ("POST", "share-codes/{user}/{server}"),
    ("POST", "groups/mine"),
    ("GET", "proxy"),
    ("POST", "shutdown"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_the_api_refuses_a_person(campus: Campus, student: Student, method: str, path: str) -> None:
    other = name_of_user()
    campus.client.ensure_user(other)
    filled = path.format(user=student.name, server=student.server, free=name_of_server(), other=other)
    url = f"{campus.public_url}/hub/api/{filled}"

    answer = student.browser.ask(method, url, json={"user_options": {"session": "0" * 32}})

    assert answer.status_code in (403, 404), answer.text
    assert "xsrf" not in answer.text.lower()
    assert campus.client.user(other)
    assert servers_of(campus, student.name) == {student.server}


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_the_api_refuses_the_labs_own_token(campus: Campus, student: Student, method: str, path: str) -> None:
    token = student.browser.run(student.lab, "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
    assert len(token) == 32
    filled = path.format(user=student.name, server=student.server, free=name_of_server(), other=name_of_user())

    answer = httpx.request(
        method,
        f"{campus.api_url}/{filled}",
        json={"user_options": {"session": "0" * 32}},
        headers={"Authorization": f"token {token}"},
        trust_env=False,
    )

    assert answer.status_code in (403, 404), answer.text
    assert servers_of(campus, student.name) == {student.server}


def test_others_and_strangers_do_not_get_in(campus: Campus, student: Student) -> None:
    with campus.browser(name_of_user()) as other:
        refused = other.open(student.lab)
    stranger = httpx.get(f"{student.lab}api/contents", trust_env=False)

    assert refused.status_code in (403, 404)
    assert "jupyter-config-data" not in refused.text
    assert stranger.status_code == 403
    assert student.browser.get(f"{student.lab}api/contents").status_code == 200


def test_a_person_may_stop_their_own_lab(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    with campus.browser(user) as browser:
        browser.open(lab)
        browser.get(f"{campus.public_url}/hub/home")

        answer = browser.ask("DELETE", f"{campus.public_url}/hub/api/users/{user}/servers/{server}")

        assert answer.status_code in (202, 204), answer.text
        eventually(lambda: not servers_of(campus, user))
        page = browser.get(f"{lab}lab")
    assert page.status_code == 424
    assert "没有在运行" in page.text
    assert f'href="{campus.platform.url}/"' in page.text
    assert "/hub/spawn" not in page.text


@pytest.mark.parametrize("page", ["home", "token", "admin", "no-such-page"])
def test_pages_of_the_hub_lead_back_to_the_platform(campus: Campus, student: Student, page: str) -> None:
    answer = student.browser.get(f"{campus.public_url}/hub/{page}")

    assert f'href="{campus.platform.url}/"' in answer.text
    assert "<script" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_front_door_leads_to_the_platform(campus: Campus, student: Student) -> None:
    assert str(student.browser.get(campus.public_url).url) == campus.platform.url + "/"


def test_the_labs_pages_cannot_be_framed(student: Student) -> None:
    assert "frame-ancestors 'none'" in student.browser.open(student.lab).headers["Content-Security-Policy"]


def test_who_signs_out_of_the_platform_is_signed_out_here(campus: Campus) -> None:
    person = name_of_user()
    home = f"{campus.public_url}/hub/home"
    with campus.browser(person) as browser:
        assert browser.get(home).status_code == 200
        held = [token for token, owner in campus.platform.tokens.items() if owner == person]
        for token in held:
            del campus.platform.tokens[token]

        answers = [200]

        def is_out() -> bool:
            answers.append(browser.get(home, follow_redirects=False).status_code)
            return answers[-1] != 200

        eventually(is_out)
        location = browser.get(home, follow_redirects=False).headers["Location"]

    assert set(answers) == {200, 302}
    assert "AttributeError" not in campus.log
    assert "/hub/login" in location


def test_signing_out_of_the_hub_leads_back_and_stops_no_lab(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    with campus.browser(user) as browser:
        assert browser.open(lab).status_code == 200

        left = browser.get(f"{campus.public_url}/hub/logout")

        assert str(left.url) == campus.platform.url + "/"
        assert not [cookie for cookie in browser.cookies.jar if cookie.name == "jupyterhub-hub-login"]
    assert state_of(campus, user, server) == "running"
    campus.client.remove(user, server)


def state_of(campus: Campus, user: str, server: str) -> str:
    found = campus.client.server(user, server)
    assert found
    return found.state


# Admission


def start(campus: Campus, user: str, server: str) -> str:
    """Start with the platform's own token; why it fails, which a quick hub says at once and a slow one later."""
    try:
        campus.client.start(user, server, {"session": server.removeprefix("lab-")}, "Lab")
    except HubRefused as refusal:
        if refusal.status != 403:
            raise
        message = refusal.message
    else:
        step = list(campus.client.progress(user, server))[-1]
        assert step.failed
        message = step.message
    assert not servers_of(campus, user)
    return message


def test_what_was_not_ordered_does_not_start(campus: Campus) -> None:
    assert "was not ordered" in start(campus, name_of_user(), name_of_server())


def test_one_order_is_one_start(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.lab(user, server)
    campus.client.stop(user, server)
    eventually(lambda: not servers_of(campus, user))

    assert "was started already" in start(campus, user, server)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ("", 500),
        lambda: ("half of a jso", 200),
        lambda: jsonify(allow="yes", spec={}),
        lambda: jsonify(allow=True),
        lambda: jsonify(allow=True, spec={"cores": 1}),
        lambda: (jsonify(allow=True), 302, {"Location": "/elsewhere"}),
    ],
    ids=["fault", "garbage", "not-yes", "no-spec", "half-a-spec", "elsewhere"],
)
def test_an_answer_that_makes_no_sense_is_a_no(campus: Campus, answer: object) -> None:
    campus.platform.answer = answer  # type: ignore[assignment]
    try:
        message = start(campus, name_of_user(), name_of_server())
    finally:
        campus.platform.answer = None

    assert "platform" in message.lower()


def test_a_platform_that_is_down_means_no_lab(campus: Campus) -> None:
    with campus.platform.down():
        message = start(campus, name_of_user(), name_of_server())

    assert "cannot be reached" in message


def test_a_start_takes_no_limits_from_its_options(campus: Campus) -> None:
    user, server = name_of_user(), name_of_server()
    campus.platform.order(server)

    with pytest.raises(HubRefused) as refusal:
        campus.client.start(user, server, {"session": "0" * 32, "cores": "64"}, "Lab")

    assert refusal.value.status == 400
    assert not servers_of(campus, user)
    assert (user, server) not in campus.platform.asked


def test_a_lab_cannot_be_made_to_lose_what_it_must_know(campus: Campus) -> None:
    server = name_of_server()
    campus.platform.order(server, environment={"JUPYTERHUB_API_URL": "http://evil.example"})

    assert "JUPYTERHUB_API_URL" in start(campus, name_of_user(), server)


def test_the_platforms_token_can_do_no_more_than_it_needs(campus: Campus) -> None:
    user = name_of_user()
    campus.client.ensure_user(user)

    for forbidden in (
        lambda: campus.client.mint_token(user, ["access:servers!user"], 60),
        lambda: campus.client.ensure_group("mine"),
    ):
        with pytest.raises(HubRefused):
            forbidden()


def test_a_wrong_token_is_refused_and_not_repeated(campus: Campus) -> None:
    wrong = JupyterHub(campus.api_url, "0123456789abcdef" * 4)

    with pytest.raises(HubRefused) as refusal:
        wrong.ensure_user(name_of_user())

    assert refusal.value.status == 403
    assert "0123456789abcdef" not in str(refusal.value)
    wrong.close()
