"""Does a flush on one connection make durable what another one wrote? Does FUA make its own write durable?"""
import sys
import nbd
from said import connected, tell

a, b = connected(sys.argv[1]), connected(sys.argv[1])
assert a.can_multi_conn() and b.can_multi_conn()
a.pwrite(b"\x0a" * 10000, 5000)
a.pwrite(b"\x0b" * 4096, 65536)
tell("written")
b.flush()
tell("flushed")
a.pwrite(b"\x0c" * 4096, 131072, nbd.CMD_FLAG_FUA)
tell("forced")
a.trim(4096, 65536)
a.zero(4096, 131072, nbd.CMD_FLAG_FUA)
b.pwrite(b"\x0d" * 4096, 196608)
a.flush()
tell("flushed again")
