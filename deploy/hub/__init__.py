"""A center's JupyterHub: its configuration, its proxy, and the walls around each lab. See docs/hub.md."""
