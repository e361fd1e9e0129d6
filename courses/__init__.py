"""Courses, their runs, and the seats in them.

A *course* is what is taught; a *version* is an immutable published snapshot of its content, made of *units*
(a text, or a lab). A *run* is one delivery of a version in a term, with its teachers and its budget. A *seat pool*
is a number of seats of a run, for one partner or shared. An *enrollment* is a person in a run: requested →
waitlisted or offered → enrolled → completed; or declined, withdrawn, removed.
"""
