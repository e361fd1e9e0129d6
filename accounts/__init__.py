"""Partners and people: who they are, what they are where, how they sign in.

A *partner* is a university, company, computing center or public body: the tenant. A *person* is a human;
a *membership* is that human at a partner, with a role there and the number the partner knows them by.
*Platform roles* (administrator, operator, coordinator) stand apart and are granted for a period. A
*sign-in* is one browser that a person signed in with; a *personal token* lets a program act for a person.
A *notice* is a piece of news for one person.
"""
