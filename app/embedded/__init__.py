"""The embedded campus: PostgreSQL, hub, worker and web server as supervised children of one command.

`chancai run` starts it, `chancai doctor` says what keeps it from starting. Nothing here imports a domain, so both work
before there is a database. What the console says is English only: no request, hence no reader's language.
"""
