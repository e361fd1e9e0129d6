"""Labs on shared clusters, and the ledger that pays for them.

A *center* is a cluster with its hub; a *flavor* is what a session gets there, at a price in credits an hour.
A *lab template* is what a teacher prepares. A *session* is one running lab of one person, for a *lease* of
time, paid by one *budget*. A budget is a purse of credits, funded from the one above it; a *cap* is the most
one member may draw from it. Before a session starts, its price is put aside in a *hold*; while it runs, usage
is *posted*; when it has ended it is *settled* and the rest returns. What never ran is *voided*.

1 credit = one reference CPU-core-hour, stored as integer micro-credits.
"""
