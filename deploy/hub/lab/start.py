"""Starts one lab's server from inside its walls: takes on the limits that only bind there, then becomes the server.

Called as `start.py '{"DATA": bytes, "NPROC": count, …}' <arguments of jupyterhub-singleuser>`.
"""

import json
import os
import resource
import sys


def limit(name: str, most: int) -> None:
    kind = getattr(resource, f"RLIMIT_{name}")
    _, allowed = resource.getrlimit(kind)
    if allowed != resource.RLIM_INFINITY:
        most = min(most, allowed)
    resource.setrlimit(kind, (most, most))


def main() -> None:
    for name, most in json.loads(sys.argv[1]).items():
        limit(name, most)
    # Checks international addresses in JSON schemas, which no lab does, and takes a second of processor time to import.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
    sys.argv = ["jupyterhub-singleuser", *sys.argv[2:]]
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from chancai_lab import guests  # type: ignore[import-not-found]
    from jupyterhub.singleuser import main as serve

    guests.install()
    serve()


if __name__ == "__main__":
    main()
