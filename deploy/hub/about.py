"""What this hub tells the platform's doctor of itself: its clock, its account, and what its people may do."""

import json
import os
import pwd
import time

import jupyterhub
from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from tornado import web

PATH = r"/api/chancai/about"


class About(APIHandler):
    """For the platform's own service only."""

    async def get(self) -> None:
        asking = self.current_user
        if not isinstance(asking, orm.Service) or asking.name != "platform":
            raise web.HTTPError(403)
        role = orm.Role.find(self.db, "user")
        answer = {
            "version": jupyterhub.__version__,
            "now": time.time(),
            "account": _account(),
            "is_root": os.geteuid() == 0,
            "user_scopes": sorted(role.scopes) if role else [],
            "folder": os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
        }
        self.write(json.dumps(answer))


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
