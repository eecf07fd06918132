"""Are structured replies what the protocol says: chunks, DF, statuses of one and of several contexts?"""
import sys
import nbd
from said import connected, refused

# The test wrote data to the first MiB before snapshot s0, over 256 KiB at 128 KiB after it, and the image has 4 MiB.
uri = sys.argv[1]
KIB, MIB = 1024, 1024 * 1024
BASE, DEPTH, SINCE = "base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:since-s0"
h = connected(uri, [BASE, DEPTH, SINCE])
assert h.get_structured_replies_negotiated()
assert h.get_protocol() == "newstyle-fixed"
assert h.get_size() == 4 * MIB
assert all(h.can_meta_context(context) for context in [BASE, DEPTH, SINCE])


def status(count, offset, flags=0):
    """What each context says, as (length, value)."""
    told = {}

    def extents(context, start, entries, error):
        assert start == offset and error.value == 0 and context not in told
        told[context] = list(zip(entries[::2], entries[1::2]))
        return 0

    h.block_status(count, offset, extents, flags)
    return told


def cut(entries, count):
    """The last entry may reach further than what was asked for."""
    total = 0
    for length, value in entries:
        yield (min(length, count - total), value)
        total += length


told = status(4 * MIB, 0)
assert told.keys() == {BASE, DEPTH, SINCE}, told
assert told[BASE] == [(MIB, 0), (3 * MIB, 3)], told
assert told[DEPTH] == [(128 * KIB, 2), (256 * KIB, 1), (640 * KIB, 2), (3 * MIB, 0)], told
assert told[SINCE] == [(128 * KIB, 0), (256 * KIB, 1), (4 * MIB - 384 * KIB, 0)], told

# A status that begins and ends anywhere, a byte of it too.
told = status(200 * KIB, 100 * KIB)
assert list(cut(told[SINCE], 200 * KIB)) == [(28 * KIB, 0), (172 * KIB, 1)], told
told = status(1, 128 * KIB + 1)
assert [entries[0][1] for entries in (told[BASE], told[DEPTH], told[SINCE])] == [0, 1, 1], told

# REQ_ONE: one entry each, no longer than what was asked for.
for count, offset in [(4 * MIB, 0), (MIB, 128 * KIB), (10, 4 * MIB - 10), (512 * KIB, 256 * KIB)]:
    told = status(count, offset, nbd.CMD_FLAG_REQ_ONE)
    for context, entries in told.items():
        assert len(entries) == 1 and 0 < entries[0][0] <= count, (context, entries)
assert status(4 * MIB, 0, nbd.CMD_FLAG_REQ_ONE)[SINCE] == [(128 * KIB, 0)]
assert status(MIB, 128 * KIB, nbd.CMD_FLAG_REQ_ONE)[DEPTH] == [(256 * KIB, 1)]


def read(count, offset, flags=0):
    """The bytes, and the chunks that brought them."""
    chunks = []

    def chunk(bytes, start, kind, error):
        assert error.value == 0
        chunks.append((start, len(bytes), kind))
        return 0

    return h.pread_structured(count, offset, chunk, flags), chunks


# What lies across data and holes comes in chunks that cover it once.
whole, chunks = read(4 * MIB, 0)
assert sum(length for _, length, _ in chunks) == 4 * MIB
at = 0
for start, length, kind in sorted(chunks):
    assert start == at and kind in (nbd.READ_DATA, nbd.READ_HOLE), chunks
    at += length
assert all(not any(whole[start:start + length]) for start, length, kind in chunks if kind == nbd.READ_HOLE)
# With DF it is one.
assert h.can_df()
for count, offset in [(4 * MIB, 0), (MIB, 512 * KIB), (1, 0), (5, MIB - 2), (MIB, 2 * MIB)]:
    bytes, chunks = read(count, offset, nbd.CMD_FLAG_DF)
    assert len(chunks) == 1 and bytes == whole[offset:offset + count], (count, offset, chunks)
    assert h.pread(count, offset) == bytes
h.shutdown()

# A client that knows no structured replies gets the same bytes, and no contexts.
simple = nbd.NBD()
simple.set_request_structured_replies(False)
simple.connect_uri(uri)
assert not simple.get_structured_replies_negotiated() and not simple.can_df()
assert simple.pread(4 * MIB, 0) == whole
refused("ENOTSUP", simple.block_status, MIB, 0, lambda *_: 0)
refused("EINVAL", simple.pread_structured, MIB, 0, lambda *_: 0, nbd.CMD_FLAG_DF)
simple.shutdown()
