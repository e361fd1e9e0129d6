"""A lab behind walls, tried from a kernel inside it."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deploy.hub import bubblewrap
from tests.hub.browser import Browser
from tests.hub.conftest import Campus, eventually, name_of_server, name_of_user, need_walls

pytestmark = pytest.mark.hub


@dataclass
class Cell:
    """A kernel in a lab behind walls."""

    campus: Campus
    user: str
    server: str
    lab: str
    kernel: str
    browser: Browser

    def run(self, code: str) -> str:
        return self.browser.run_in(self.lab, self.kernel, code)

    def find(self, code: str) -> Any:
        """What the code prints as JSON."""
        return json.loads(self.run(code))

    def processes(self) -> list[psutil.Process]:
        """The lab's processes, as the host sees them, without what holds the walls."""
        return [found for found in self.campus.processes_of(self.server) if found.name() != "bwrap"]


@pytest.fixture(scope="module")
def cell(campus: Campus) -> Iterator[Cell]:
    need_walls()
    user, server = name_of_user(), name_of_server()
    victim = name_of_user()
    (campus.homes / victim).mkdir(parents=True)
    (campus.homes / victim / "secret.txt").write_text("not yours")
    lab = campus.lab(user, server, language="zh_CN", memory_mb=1024, environment={"COURSE": "ai-101"})
    with campus.browser(user) as browser:
        browser.open(lab)
        kernel = browser.ask("POST", f"{lab}api/kernels", json={"name": "python3"}).json()["id"]
        yield Cell(campus, user, server, lab, kernel, browser)
    campus.client.remove(user, server)


def test_nothing_of_the_host_can_be_seen(cell: Cell) -> None:
    folder = cell.campus.folder
    hidden = [folder, folder / "hub", folder / "hub" / "jupyterhub.sqlite", cell.campus.hubs_file, cell.campus.homes]
    paths = [*map(str, hidden), "/etc/shadow", "/etc/machine-id", "/run/dbus", "/var", "/srv", __file__, "/root/.ssh"]

    seen = cell.find(f"import json, os; print(json.dumps([p for p in {paths!r} if os.path.lexists(p)]))")

    assert seen == []
    assert cell.find("import json, os; print(json.dumps(sorted(os.listdir('/home'))))") == ["lab"]


def test_no_port_of_the_host_can_be_reached(cell: Cell) -> None:
    ports = [cell.campus.api_port, cell.campus.bind_port, cell.campus.proxy_api_port]
    ports.append(int(cell.campus.platform.url.rpartition(":")[2]))
    for port in ports:
        socket.create_connection(("127.0.0.1", port)).close()
    addresses = [["127.0.0.1", port] for port in ports] + [["::1", ports[1]], ["192.0.2.1", 80], ["10.0.0.1", 22]]

    reached = cell.find(f"""
import json, socket
reached = []
for address in {addresses!r}:
    try:
        socket.create_connection(tuple(address), 1)
        reached.append(address)
    except OSError:
        pass
print(json.dumps(reached))
""")

    assert reached == []


def test_no_other_process_can_be_seen(cell: Cell) -> None:
    commands = cell.find("""
import json, glob
commands = []
for path in glob.glob('/proc/[0-9]*/cmdline'):
    commands.append(open(path).read().replace('\\0', ' '))
print(json.dumps(commands))
""")

    assert 2 <= len(commands) <= 6
    assert not any("embedded_config" in command or "labproxy" in command for command in commands)


def test_the_environment_is_the_labs_own(cell: Cell) -> None:
    env = cell.find("import json, os; print(json.dumps(dict(os.environ)))")

    assert "A_SECRET_OF_THE_HUB" not in env
    assert not set(env) & {"HUBS_FILE", "HUB_DIR", "JUPYTERHUB_CRYPT_KEY", "CONFIGPROXY_AUTH_TOKEN", "TESTER_TOKEN"}
    assert not any(secret in str(env) for secret in (cell.campus.token, cell.campus.platform.admission_secret))
    assert (env["HOME"], env["USER"], env["COURSE"], env["TZ"]) == ("/home/lab", "lab", "ai-101", "Asia/Shanghai")
    assert env["CHANCAI_SESSION"] == cell.server.removeprefix("lab-")
    assert env["LANGUAGE"] == "zh_CN"


def test_a_lab_has_no_rights_and_cannot_get_any(cell: Cell) -> None:
    status = cell.run("print(open('/proc/self/status').read())")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)

    assert {lines[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert lines["NoNewPrivs"] == "1"
    assert lines["Uid"].split() == ["1000"] * 4
    assert "failed" in cell.run("import os; print(os.popen('unshare -Ur true 2>&1').read())")


def test_to_the_host_a_lab_is_nobody(cell: Cell) -> None:
    processes = cell.processes()

    assert len(processes) >= 2
    for process in processes:
        uids = set(process.uids())
        if os.geteuid() == 0:
            assert uids == {bubblewrap.owner_of(cell.user).uid}  # type: ignore[union-attr]
            assert 0 not in process.gids()
        else:
            assert uids == {os.geteuid()}


@pytest.mark.parametrize("path", ["/x", "/etc/x", "/usr/x", "/run/x", "/dev/x", "/proc/sys/kernel/core_pattern"])
def test_nothing_but_the_home_can_be_written(cell: Cell, path: str) -> None:
    assert "Error" in cell.run(f"open({path!r}, 'w').write('x')")


def test_our_own_programs_stay_as_they_are(cell: Cell) -> None:
    """In a checkout below /tmp the lab writes into its own /tmp; elsewhere it is refused."""
    program = Path(bubblewrap.__file__)
    before = program.read_bytes()

    cell.run(f"open({str(program)!r}, 'w').write('x')")

    assert program.read_bytes() == before


def test_home_and_temporary_files_can_be_written(cell: Cell) -> None:
    cell.run("open('/tmp/x', 'w').write('x'); open('/home/lab/kept', 'w').write('kept')")

    assert (cell.campus.homes / cell.user / "kept").read_text() == "kept"


def test_memory_ends_where_the_flavor_ends(cell: Cell) -> None:
    assert cell.run("x = bytearray(2 << 30)") == "MemoryError:"
    assert cell.run("x = bytearray(200 << 20); print(len(x)); del x") == str(200 << 20)
    assert "No space left" in cell.run("open('/dev/shm/x', 'wb').write(bytes(600 << 20))")
    cell.run("import os; os.remove('/dev/shm/x')")


def test_a_lab_keeps_to_its_cores(cell: Cell) -> None:
    assert cell.run("import os; print(len(os.sched_getaffinity(0)))") == "1"


def test_the_hub_can_be_spoken_to_from_inside_but_only_as_the_lab(cell: Cell) -> None:
    answers = cell.find(f"""
import http.client, json, os, socket
def ask(method, path):
    connection = http.client.HTTPConnection('hub')
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect('/run/hub.sock')
    token = os.environ['JUPYTERHUB_API_TOKEN']
    connection.request(method, '/hub/api' + path, headers={{'Authorization': 'token ' + token}})
    return connection.getresponse().status
print(json.dumps([ask('GET', '/user'), ask('POST', '/users/{cell.user}/servers/lab-x'), ask('GET', '/users')]))
""")

    assert answers == [200, 403, 403]


@pytest.mark.parametrize("trap", ["link", "file", "nothing", "somebody else's"])
def test_a_lab_cannot_send_the_hub_to_another_socket(campus: Campus, tmp_path: Path, trap: str) -> None:
    """The relay would connect, with the hub's rights, to whatever the lab has put in its socket's place."""
    need_walls()
    user, server = name_of_user(), name_of_server()
    lab = campus.lab(user, server)
    sockets = campus.folder / "hub" / "labs" / server / "sockets"
    if trap == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can make sockets for others")
    os.rename(sockets / "lab.sock", sockets / "moved")
    forbidden = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(forbidden))
        listener.listen()
        listener.setblocking(False)
        owner = bubblewrap.owner_of(user)
        if trap == "link":
            if owner:
                os.chown(forbidden, owner.uid, owner.gid)
            (sockets / "lab.sock").symlink_to(forbidden)
        elif trap == "file":
            (sockets / "lab.sock").touch()
        elif trap == "somebody else's":
            forbidden.rename(sockets / "lab.sock")  # bound elsewhere: the path here is too long for bind()

        assert httpx.get(f"{lab}api", trust_env=False).status_code == 503

        with pytest.raises(BlockingIOError):
            listener.accept()
        os.rename(sockets / "moved", sockets / "lab.sock")
        assert httpx.get(f"{lab}api", trust_env=False).status_code == 200
    campus.client.remove(user, server)
    eventually(lambda: not sockets.exists())


def test_the_kernels_websocket_speaks_the_new_protocol(cell: Cell) -> None:
    protocol = "v1.kernel.websocket.jupyter.org"
    with contextlib.closing(cell.browser.channels(cell.lab, cell.kernel, [protocol])) as channels:
        assert channels.getsubprotocol() == protocol


def test_a_file_of_more_than_100_megabytes_goes_up_and_down(cell: Cell) -> None:
    content = "x" * (101 << 20)
    body = {"type": "file", "format": "text", "content": content}

    answer = cell.browser.ask("PUT", f"{cell.lab}api/contents/big.txt", json=body, timeout=60)

    assert answer.status_code == 201, answer.text[:300]
    with cell.browser.stream("GET", f"{cell.lab}files/big.txt") as down:
        assert sum(len(piece) for piece in down.iter_bytes()) == len(content)
    cell.run("import os; os.remove('/home/lab/big.txt')")


def test_jupyterlab_fetches_nothing_and_speaks_the_readers_language(cell: Cell) -> None:
    page = cell.browser.open(cell.lab).text
    config = json.loads(page.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])
    settings = cell.browser.get(f"{cell.lab}lab/api/settings/@jupyterlab/translation-extension:plugin").json()
    packs = cell.browser.get(f"{cell.lab}lab/api/translations/").json()["data"]

    assert config["news"] == {"disabled": True}
    assert config["extensionManager"]["can_install"] is False
    assert settings["schema"]["properties"]["locale"]["default"] == "zh_CN"
    assert "zh_CN" in packs


def test_what_is_missing_for_walls_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.hub.bubblewrap.shutil.which", lambda program: None)

    reason = bubblewrap.usable()

    assert reason
    assert "bwrap is not installed" in reason or "Linux only" in reason


def test_walls_that_do_not_stand_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    need_walls()
    monkeypatch.setattr(bubblewrap, "python_paths", list)

    reason = bubblewrap.usable()

    assert reason
    assert "cannot build walls here" in reason
