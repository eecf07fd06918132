"""Zeroes with and without holes, fast or not; trim, cache, and requests of 32 MiB."""
import errno
import sys
import nbd
from said import connected, refused

KIB, MIB = 1024, 1024 * 1024
BASE = "base:allocation"
h = connected(sys.argv[1], [BASE])
size = h.get_size()
assert h.can_zero() and h.can_fast_zero() and h.can_trim() and h.can_cache() and h.can_fua() and h.can_flush()


def holes(count, offset):
    """Is there a hole, by pieces?"""
    told = []
    h.block_status(count, offset, lambda context, start, entries, error: told.extend(zip(entries[::2], entries[1::2])) or 0)
    return [(length, bool(flags & nbd.STATE_HOLE)) for length, flags in told]


# 32 MiB in one request, both ways.
most = h.get_block_size(nbd.SIZE_MAXIMUM)
assert most == 32 * MIB and h.get_block_size(nbd.SIZE_MINIMUM) == 1 and h.get_block_size(nbd.SIZE_PREFERRED) == 4096
pattern = bytes(range(1, 252)) * (most // 251 + 1)
h.pwrite(pattern[:most], 0)
h.pwrite(pattern[1:most + 1], most)
assert h.pread(most, 0) == pattern[:most]
assert h.pread(most, most) == pattern[1:most + 1]
assert h.pread(most, 5) == pattern[5:most] + pattern[1:6]
assert holes(2 * most, 0) == [(2 * most, False)]

h.zero(MIB, MIB)
assert holes(3 * MIB, 0) == [(MIB, False), (MIB, True), (MIB, False)], holes(3 * MIB, 0)
h.zero(MIB, 3 * MIB, nbd.CMD_FLAG_NO_HOLE)
assert holes(3 * MIB, 2 * MIB)[0] == (3 * MIB, False), holes(3 * MIB, 2 * MIB)
h.zero(MIB, 5 * MIB, nbd.CMD_FLAG_FAST_ZERO)
assert holes(3 * MIB, 4 * MIB) == [(MIB, False), (MIB, True), (MIB, False)]
# Fast, without a hole: it is done, or refused as too slow with nothing done.
try:
    h.zero(MIB, 7 * MIB, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
    done = True
except nbd.Error as error:
    assert error.errno == "ENOTSUP", error
    done = False
assert h.pread(MIB, 7 * MIB) == (bytes(MIB) if done else pattern[7 * MIB:8 * MIB])
assert holes(MIB, 7 * MIB)[0] == (MIB, False)
h.trim(MIB, 9 * MIB, nbd.CMD_FLAG_FUA)
assert holes(3 * MIB, 8 * MIB) == [(MIB, False), (MIB, True), (MIB, False)]
# Within blocks, too.
h.zero(100, 11 * MIB + 50)
h.zero(10000, 11 * MIB + 6000, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA)
expected = bytearray(pattern[:most] + pattern[1:most + 1])
for start, length in [(MIB, MIB), (3 * MIB, MIB), (5 * MIB, MIB), (9 * MIB, MIB), (11 * MIB + 50, 100), (11 * MIB + 6000, 10000)]:
    expected[start:start + length] = bytes(length)
if done:
    expected[7 * MIB:8 * MIB] = bytes(MIB)
assert h.pread(most, 0) == expected[:most]
# Cache changes nothing.
h.cache(MIB, 0)
h.cache(16 * MIB, MIB // 2)
assert h.pread(most, 0) == expected[:most] and h.pread(most, most) == expected[most:]
# All of it at once.
h.zero(size, 0)
assert holes(size, 0) == [(size, True)] and not any(h.pread(most, 0))
h.flush()
h.shutdown()
