"""Hundreds of requests in flight on several connections: each reply belongs to its request."""
import random
import sys
import nbd
from said import connected

seed = int(sys.argv[2])
dice = random.Random(seed)
handles = [connected(sys.argv[1]) for _ in range(4)]
SLOT = 64 * 1024
slots = handles[0].get_size() // SLOT
DEPTH = 64
model = [bytes(SLOT)] * slots


def wait(pending):
    """Until all of these are answered, in whatever order."""
    while pending:
        h, cookie = pending[0]
        if h.aio_command_completed(cookie):
            pending.pop(0)
        else:
            h.poll(-1)


for turn in range(8):
    # Different slots, so the order among them does not matter; the length differs from slot to slot.
    pending, written = [], {}
    for slot in dice.sample(range(slots), DEPTH):
        h = dice.choice(handles)
        offset, kind = slot * SLOT, dice.randrange(4)
        length = dice.randint(1, SLOT)
        if kind < 3:
            data = dice.randbytes(length)
            flags = nbd.CMD_FLAG_FUA if dice.randrange(16) == 0 else 0
            pending.append((h, h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset, flags=flags)))
            written[slot] = data + model[slot][length:]
        else:
            pending.append((h, h.aio_zero(length, offset)))
            written[slot] = bytes(length) + model[slot][length:]
        if dice.randrange(32) == 0:
            pending.append((h, h.aio_flush()))
    wait(pending)
    for slot, data in written.items():
        model[slot] = data
    # On any connection: a write that is answered is seen by all of them.
    pending, buffers = [], []
    for slot in dice.sample(range(slots), DEPTH) + list(written):
        h, buffer = dice.choice(handles), nbd.Buffer(SLOT)
        buffers.append((slot, buffer))
        pending.append((h, h.aio_pread(buffer, slot * SLOT)))
    wait(pending)
    for slot, buffer in buffers:
        assert buffer.to_bytearray() == model[slot], f"seed {seed}, turn {turn}, slot {slot}"
    # Good requests between bad ones.
    if turn == 0:
        odd = connected(sys.argv[1], strict=False)
        mixed = [(odd.aio_pread(nbd.Buffer(100), odd.get_size() if index % 3 == 0 else 0), index % 3 != 0) for index in range(60)]
        for cookie, is_good in mixed:
            try:
                while not odd.aio_command_completed(cookie):
                    odd.poll(-1)
                assert is_good, "a read behind the end was answered"
            except nbd.Error as error:
                assert not is_good and error.errno == "EINVAL", error
        odd.shutdown()
for h in handles:
    h.shutdown()
