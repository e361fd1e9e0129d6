"""Why a cluster cannot be had, in a sentence for people."""


class NoCluster(Exception):
    """Printed on the console; the command fails."""
