"""The end of a turn of the loop."""

import asyncio

from proxy.observer import Observers
from proxy.relay.turn import Turn
from proxy.relay.wire import Wire


class Transport:
    """A transport that keeps what it is given; stands for a socket, which is not ours."""

    def __init__(self, error=None):
        """Fail with ``error`` at each write."""
        self.written = []
        self.error = error

    def write(self, data):
        """Keep it."""
        if self.error:
            raise self.error
        self.written.append(data)

    def writelines(self, pieces):
        """Keep them as one."""
        self.write(b"".join(pieces))

    def is_closing(self):
        """Never."""
        return False

    def get_write_buffer_size(self):
        """Nothing waits."""
        return 0


class Witness:
    """An observer that notes what it is told, or fails."""

    def __init__(self, error=None):
        """Fail with ``error``."""
        self.seen = []
        self.error = error

    def exchange_closed(self, exchange):
        """Note it."""
        if self.error:
            raise self.error
        self.seen.append(exchange)


class Closed:
    """Stands for an exchange; only its id is looked at here."""

    id = "x"


async def test_what_a_turn_brings_is_sent_at_its_end_in_order():
    """Pieces for one connection go together."""
    transport = Transport()
    wire = Wire(transport, Turn(Observers([])))
    wire.write(b"a")
    wire.write(b"b")
    before = list(transport.written)
    await asyncio.sleep(0)

    assert before == []
    assert transport.written == [b"ab"]


async def test_much_in_several_writes_is_sent_at_once():
    """Otherwise the transport could not tell that a slow peer has enough."""
    transport = Transport()
    wire = Wire(transport, Turn(Observers([])))
    wire.write(b"a")
    wire.write(b"x" * Wire.MOST)

    assert transport.written == [b"a" + b"x" * Wire.MOST]
    assert not wire.has_unsent


async def test_the_first_of_a_turn_waits_for_its_end_however_much_it_is():
    """Until then nothing of a request has left, and it can still go elsewhere."""
    transport = Transport()
    wire = Wire(transport, Turn(Observers([])))
    wire.write(b"x" * (Wire.MOST + 1))
    before = list(transport.written)
    await asyncio.sleep(0)

    assert before == []
    assert transport.written == [b"x" * (Wire.MOST + 1)]


async def test_turns_are_counted():
    """A connection that came back in an earlier turn has been looked at since."""
    turn = Turn(Observers([]))
    Wire(Transport(), turn).write(b"a")
    before = turn.number
    await asyncio.sleep(0)

    assert turn.number == before + 1


async def test_one_connection_that_fails_leaves_the_others_served():
    """And their exchanges recorded."""
    witness = Witness()
    turn = Turn(Observers([witness]))
    good = Transport()
    Wire(Transport(RuntimeError("broken")), turn).write(b"a")
    Wire(good, turn).write(b"b")
    turn.add_closed(Closed())
    await asyncio.sleep(0)

    assert good.written == [b"b"]
    assert len(witness.seen) == 1


async def test_one_observer_that_fails_costs_no_record():
    """The demo's terminal may be closed; the log goes on."""
    witness = Witness()
    turn = Turn(Observers([Witness(BrokenPipeError()), witness]))
    for _ in range(3):
        turn.add_closed(Closed())
    await asyncio.sleep(0)

    assert len(witness.seen) == 3
