"""What keeps the embedded campus from starting, as a sentence for the person at the console."""


class CannotStart(Exception):
    """Its text is shown as it is, without a stack: it says what is wrong and what to do about it."""

    exit_code = 1


class AlreadyRunning(CannotStart):
    """Another `chancai run` owns this var folder."""

    exit_code = 3
