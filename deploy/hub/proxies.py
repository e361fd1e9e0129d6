"""The hub's end of the proxy: before a lab is cut off from its browsers, they are asked to save."""

from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy

from deploy.hub.saving import SavingSpawner


class SavingProxy(ConfigurableHTTPProxy):
    """JupyterHub takes a server's route away first and stops the server then: too late to save anything."""

    async def delete_user(self, user: Any, server_name: str = "") -> None:
        spawner = user.spawners[server_name]
        if isinstance(spawner, SavingSpawner):
            await spawner.save_documents()
        await super().delete_user(user, server_name)
