"""Start the identity provider (npm's oidc-provider), and go through its pages as a browser does."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpx

HERE = Path(__file__).parent
BESIDE = str(Path(sys.executable).parent)  # where deploy/test_tools.py puts Node.js when the machine has none
CLIENT_ID, CLIENT_SECRET = "chancai", "campus-secret"


@dataclass(frozen=True)
class CampusProvider:
    issuer: str

    def sign_in(self, address: str, login: str) -> str:
        """Sign in there as `login` and agree; return the address that the browser is sent back to."""
        with httpx.Client() as browser:
            answer = browser.get(address)
            for _step in range(12):
                if answer.is_redirect:
                    target = urljoin(str(answer.url), answer.headers["location"])
                    if not target.startswith(self.issuer):
                        return target
                    answer = browser.get(target)
                    continue
                action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
                assert action, answer.text
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
                assert prompt, answer.text
                form = {"prompt": prompt[1], "login": login, "password": "any"}
                answer = browser.post(urljoin(str(answer.url), action[1]), data=form)
        raise AssertionError("the provider never sent the browser back")


@contextmanager
def running(redirect_uri: str) -> Iterator[CampusProvider]:
    node, home = _program("node"), installed()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [node, str(HERE / "provider.js"), str(port), CLIENT_ID, CLIENT_SECRET, redirect_uri]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == "ready":
                    break
            yield CampusProvider(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(timeout=10)


def installed() -> Path:
    """A folder with the pinned packages in it, shared by all runs on this machine."""
    home = Path(tempfile.gettempdir()) / "chancai-test-identity-provider-9.13.3"
    if not (home / "node_modules" / "oidc-provider").exists():
        making = Path(tempfile.mkdtemp(prefix="chancai-idp-"))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, making / name)
        npm = [_program("npm"), "ci", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(npm, cwd=making, check=True, timeout=300)
        try:
            making.rename(home)
        except OSError:  # another run was quicker
            shutil.rmtree(making)
    return home


def is_possible() -> bool:
    return all(shutil.which(name) or shutil.which(name, path=BESIDE) for name in ("node", "npm"))


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=BESIDE)
    assert found is not None, f"{name} is needed to start the identity provider"
    return found
