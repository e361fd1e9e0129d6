"""Why a scheduler refused a lab that the platform had admitted: stable codes, with the words for people.

Hubs send them (deploy/hub/hooks.py); part of the API, so they never change.
"""

from collections.abc import Mapping

from flask_babel import LazyString
from flask_babel import lazy_gettext as _

WORDS: Mapping[str, LazyString] = {
    "cluster-quota": _(
        "The cluster's own quota for this budget, or for you, is used up. Trying again helps only when the quota is "
        "larger, or when other labs have ended."
    ),
    "cluster-account": _(
        "The cluster does not know yet that this budget may use it. Please try again in a few minutes."
    ),
    "cluster-silent": _("The cluster did not answer. Please try again in a few minutes."),
    "cluster-full": _("The cluster has no account left for another person. Its operators must add some."),
    "cluster-refused": _("The cluster's scheduler refused this lab. Its operators can say why."),
}


def words(code: str) -> LazyString | str:
    return WORDS.get(code, code)
