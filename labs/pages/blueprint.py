"""The blueprint that all pages of labs share."""

from flask import Blueprint

blp = Blueprint("labs", __name__, template_folder="../templates")
