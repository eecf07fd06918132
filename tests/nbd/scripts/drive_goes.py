"""What does a client see whose drive is deleted?"""
import sys
import nbd
from said import connected, refused, tell

h, idle = connected(sys.argv[1], ["base:allocation"]), connected(sys.argv[1])
h.pwrite(b"here", 0)
tell("connected")
GONE = "ESHUTDOWN"
for _ in range(3):
    refused(GONE, h.pread, 4, 0)
    refused(GONE, h.pwrite, b"lost", 0)
    refused(GONE, h.zero, 4096, 0)
    refused(GONE, h.trim, 4096, 0)
    refused(GONE, h.block_status, 4096, 0, lambda *_: 0)
    assert h.aio_is_ready(), "the connection lives"
tell("refused")
refused(GONE, idle.pread, 4, 0)
assert idle.aio_is_ready()
h.shutdown()
idle.shutdown()
new = nbd.NBD()
refused("ENOENT", new.connect_uri, sys.argv[1])
