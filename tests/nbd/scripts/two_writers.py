"""Who may write a drive that somebody else writes? One of two clients; connections of one process are one client."""
import sys
from said import connected, refused, tell

uri, part = sys.argv[1:]
REFUSED = "EPERM"

if part == "first":
    a, b = connected(uri), connected(uri)
    assert not a.is_read_only() and not b.is_read_only()
    tell("connected")
    a.pwrite(b"first", 0)
    b.pwrite(b"other", 4096)
    # Whoever writes may come again.
    c = connected(uri)
    assert not c.is_read_only()
    c.pwrite(b"third", 8192)
    tell("written")
    a.pwrite(b"again", 0)
    tell("written again")
    # One of the connections is still there, and so is the writer.
    a.shutdown()
    b.shutdown()
    tell("nearly gone")
    c.shutdown()

elif part == "early":
    # Somebody who came before anything was written may write, but for somebody else doing so first.
    h = connected(uri, strict=False)
    assert not h.is_read_only()
    tell("connected")
    assert h.pread(5, 0) == b"first" and h.pread(5, 4096) == b"other" and h.pread(5, 8192) == b"third"
    refused(REFUSED, h.pwrite, b"wrong", 0)
    refused(REFUSED, h.zero, 4096, 0)
    refused(REFUSED, h.trim, 4096, 0)
    assert h.aio_is_ready() and h.pread(5, 0) == b"first"
    h.shutdown()

elif part == "late":
    h = connected(uri, strict=False)
    assert h.is_read_only()
    tell("connected")
    assert h.pread(5, 0) == b"again"
    refused(REFUSED, h.pwrite, b"wrong", 0)
    refused(REFUSED, h.zero, 4096, 0)
    refused(REFUSED, h.trim, 4096, 0)
    h.shutdown()

elif part == "next":
    h = connected(uri)
    assert not h.is_read_only()
    h.pwrite(b"later", 0)
    h.shutdown()

elif part == "shared":
    # Whoever shares the drive says so, and then everybody may.
    h = connected(uri)
    assert not h.is_read_only()
    tell("connected")
    h.pwrite(b"mine", 0)
    tell("written")
    assert h.pread(5, 0) == b"yours"
    h.pwrite(b"mine!", 0)
    h.shutdown()

else:
    h = connected(uri)
    assert not h.is_read_only() and h.pread(4, 0) == b"mine"
    h.pwrite(b"yours", 0)
    h.shutdown()
