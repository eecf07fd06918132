"""What does a client see whose drive becomes shorter, and then longer again?"""
import sys
import nbd
from said import connected, refused, tell

MIB = 1024 * 1024
h = connected(sys.argv[1], ["base:allocation"])
assert h.get_size() == 4 * MIB
h.pwrite(b"\x01" * 4 * MIB, 0)
tell("connected")
# It has 1 MiB now, and h still believes in 4.
for offset, count in [(MIB, 1), (MIB - 1, 2), (3 * MIB, MIB)]:
    refused("EINVAL", h.pread, count, offset)
    refused("ENOSPC", h.pwrite, b"\x02" * count, offset)
    refused("ENOSPC", h.zero, count, offset)
    refused("ENOSPC", h.trim, count, offset)
    refused("EINVAL", h.cache, count, offset)
    refused("EINVAL", h.block_status, count, offset, lambda *_: 0)
    assert h.aio_is_ready(), "the connection lives"
assert h.pread(MIB, 0) == b"\x01" * MIB
h.pwrite(b"\x03" * 4096, MIB - 4096)
h.flush()
assert connected(sys.argv[1]).get_size() == MIB
tell("shrunk")
# It has 4 MiB again; what was cut off is gone.
assert h.pread(MIB, MIB) == bytes(MIB)
h.pwrite(b"\x04" * 4096, 4 * MIB - 4096)
h.flush()
h.shutdown()
