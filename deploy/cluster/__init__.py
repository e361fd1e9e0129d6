"""A real Slurm on one Debian machine, for development and tests: four nodes, accounting, REST, accounts for labs.

Everything it has lies in one folder: database, keys, configuration, spools, homes, logs. Nothing under /etc, /run or
/var of the machine is written; so several clusters can stand side by side, and taking one down leaves nothing behind
but the packages. See docs/cluster.md.
"""
