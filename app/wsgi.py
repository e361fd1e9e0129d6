"""The WSGI application that the web server loads."""

from app import logs
from app.factory import create_app

logs.configure()
application = app = create_app()
