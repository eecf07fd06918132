"""What is said to requests that make no sense? Each gets its error, and the connection goes on."""
import sys
import nbd
from said import connected, refused

drive, snapshot = sys.argv[1:]
MIB = 1024 * 1024
h = connected(drive, ["base:allocation"], strict=False)
size = h.get_size()
h.pwrite(b"good", 0)


def lives():
    assert h.pread(4, 0) == b"good"


for count, offset in [(1, size), (2, size - 1), (512, size + MIB), (4096, 2**63 - 1), (512, 2**64 - 512)]:
    refused("EINVAL", h.pread, count, offset)
    refused("EINVAL", h.pread, count, offset, nbd.CMD_FLAG_DF)
    refused("ENOSPC", h.pwrite, b"x" * count, offset)
    refused("ENOSPC", h.zero, count, offset)
    refused("ENOSPC", h.trim, count, offset)
    refused("EINVAL", h.cache, count, offset)
    refused("EINVAL", h.block_status, count, offset, lambda *_: 0)
    lives()
refused("ENOSPC", h.zero, 2**32 - 1, 0)
refused("ENOSPC", h.trim, 2**32 - 1, 1)
# Longer than what we said is the longest.
refused("EINVAL", h.pread, 33 * MIB, 0)
lives()
# Flags that mean nothing there, or nothing at all.
refused("EINVAL", h.pread, 4, 0, 1 << 15)
refused("EINVAL", h.pwrite, b"evil", 0, nbd.CMD_FLAG_REQ_ONE | 1 << 12)
refused("EINVAL", h.flush, 1 << 14)
refused("EINVAL", h.trim, 4096, 0, 1 << 13)
refused("EINVAL", h.zero, 4096, 0, 1 << 13)
lives()
# Of no length: an error or nothing, as the server likes, but never a change or an end.
for call in [lambda: h.pwrite(b"", 0), lambda: h.trim(0, 0), lambda: h.zero(0, 0), lambda: h.cache(0, 0)]:
    try:
        call()
    except nbd.Error as error:
        assert error.errno == "EINVAL", error
lives()
h.shutdown()

# No write of any kind to a snapshot.
h = connected(snapshot, strict=False)
assert h.is_read_only() and h.can_multi_conn()
before = h.pread(MIB, 0)
for call in [lambda: h.pwrite(b"evil", 0), lambda: h.trim(4096, 0), lambda: h.zero(4096, 0), lambda: h.zero(0xFFFF, 1, 2)]:
    call.__name__ = "a write to a snapshot"
    refused("EPERM", call)
    assert h.pread(MIB, 0) == before
# Too long and to a snapshot.
refused("EPERM", h.pwrite, b"x" * 4096, h.get_size())
assert h.pread(MIB, 0) == before
h.shutdown()

# A block status without a context, and a context that was not asked for.
h = connected(drive, strict=False)
refused("EINVAL", h.block_status, 4096, 0, lambda *_: 0)
lives()
h.shutdown()
