"""What every center's hub has in common: who signs people in, who may start a lab, and what nobody may.

Read by JupyterHub through `embedded_config.py` and its like, which add where labs run.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import os

from jupyterhub import slugs
from jupyterhub.handlers.base import BaseHandler

from deploy.hub import about, hooks, settings, visits
from deploy.hub.admission import Platform

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (given by traitlets)
hub = settings.read()
platform = Platform(hub.platform_url, hub.center, hub.admission_secret)

hub.hub_dir.mkdir(parents=True, exist_ok=True)
hub.hub_dir.chmod(0o700)

# Where it keeps its things
c.JupyterHub.db_url = f"sqlite:///{hub.hub_dir}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(hub.hub_dir / "cookie_secret")
c.JupyterHub.pid_file = str(hub.hub_dir / "hub.pid")
c.JupyterHub.log_level = hub.log_level
os.environ.setdefault("JUPYTERHUB_CRYPT_KEY", settings.kept_secret(hub.hub_dir / "crypt_key"))

# Sign-on: the platform is the only one who knows people
c.JupyterHub.public_url = hub.public_url + "/"
c.JupyterHub.authenticator_class = "generic-oauth"
c.GenericOAuthenticator.client_id = hub.client_id
c.GenericOAuthenticator.client_secret = hub.client_secret
c.GenericOAuthenticator.authorize_url = f"{hub.platform_url}/oauth/authorize"
c.GenericOAuthenticator.token_url = f"{hub.platform_url}/oauth/token"
c.GenericOAuthenticator.userdata_url = f"{hub.platform_url}/oauth/userinfo"
c.GenericOAuthenticator.oauth_callback_url = f"{hub.public_url}/hub/oauth_callback"
c.GenericOAuthenticator.scope = ["openid", "profile"]
c.GenericOAuthenticator.username_claim = "sub"
c.GenericOAuthenticator.basic_auth = True
c.GenericOAuthenticator.login_service = "Chancai"
c.GenericOAuthenticator.logout_redirect_url = hub.platform_url + "/"
c.GenericOAuthenticator.manage_groups = True
c.GenericOAuthenticator.auth_state_groups_key = "oauth_user.groups"
c.GenericOAuthenticator.enable_auth_state = True
c.GenericOAuthenticator.auth_refresh_age = 300  # who signed out there is signed out here within five minutes
c.GenericOAuthenticator.auto_login = True
c.GenericOAuthenticator.allow_all = True  # the platform decides who exists
c.GenericOAuthenticator.username_pattern = r"^[0-9a-f]{32}$"
# JupyterHub 6.1.1 reads an attribute here that only requests with a token have, when a refresh fails.
BaseHandler._token_authenticated = getattr(BaseHandler, "_token_authenticated", False)

# Roles: the platform's service starts and stops, and lets people look into another's lab (`shares`, which brings along
# the right to go in itself: labs let no service in, see lab/chancai_lab/guests.py). People use and may stop their own.
c.JupyterHub.services = [{"name": "platform", "api_token": hub.token}]
c.JupyterHub.load_roles = [
    {
        "name": "platform",
        "services": ["platform"],
        "scopes": ["admin:users", "servers", "list:users", "shares"],
    },
    {
        "name": "user",  # in place of JupyterHub's own, which may start servers and mint tokens
        "scopes": [
            "read:users!user",
            "users:activity!user",
            "read:servers!user",
            "delete:servers!user",
            "access:servers!user",
        ],
    },
]
c.JupyterHub.admin_access = False
visits.install()
c.JupyterHub.extra_handlers = [(about.PATH, about.About)]
c.Authenticator.admin_users = set()

# Servers: named after sessions, admitted one by one
slugs.is_valid_safe_slug.__defaults__ = (63,)  # `lab-` and a session's id have 36 letters; JupyterHub 6 allows 30
c.JupyterHub.allow_named_servers = True
c.Spawner.pre_spawn_hook = hooks.before_start(platform)
c.Spawner.post_stop_hook = hooks.after_end(platform)
c.Spawner.apply_user_options = hooks.take_options
c.Spawner.env_keep = []
c.Spawner.disable_user_config = True
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 30
c.Spawner.poll_interval = 3
c.Spawner.consecutive_failure_limit = 0  # else a few bad starts in a row stop the hub itself
c.JupyterHub.concurrent_spawn_limit = 100
c.JupyterHub.activity_resolution = 30

# Cookies and pages
c.JupyterHub.cookie_max_age_days = 0.5
c.JupyterHub.oauth_token_expires_in = 43200
c.JupyterHub.oauth_require_pkce = True
c.JupyterHub.template_paths = [str(Path(__file__).resolve().parent / "templates")]
c.JupyterHub.template_vars = {"platform_url": hub.platform_url}
c.JupyterHub.default_url = hub.platform_url + "/"
c.JupyterHub.tornado_settings = {
    "slow_spawn_timeout": 0,  # a start and a stop answer at once, and go on
    "slow_stop_timeout": 0,
    "cookie_options": {"samesite": "Lax", "secure": hub.secure},
    "headers": {
        "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    },
}
