"""News from labs for those above: received in the same transaction, connected in the factory."""

from blinker import Signal

session_ended = Signal("A lab session was settled or voided. Sender: the LabSession.")
