"""Which contexts are listed, by wildcard and by name, and what is said to names that mean nothing?"""
import sys
import nbd
from said import connected, refused

# The drive "db" has the snapshots s0, s1 and s2; "since" prefixes each of their names, and here their uuids.
drive, snapshot, *uuids = sys.argv[1:]
BASE, DEPTH, BITMAP = "base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:"


def listed(uri, *queries):
    h = connected(uri, queries, options=True)
    names = []
    count = h.opt_list_meta_context(lambda name: names.append(name) or 0)
    assert count == len(names) == len(set(names)), names
    h.opt_abort()
    return set(names)


def since(*names):
    return {BITMAP + "since-" + name for name in names}


def may_have(names, must, may):
    assert must <= names <= must | may, names


by_uuid = since(*uuids)
may_have(listed(drive), {BASE, DEPTH} | since("s0", "s1", "s2"), by_uuid)
may_have(listed(drive, "base:"), {BASE}, set())
may_have(listed(drive, "qemu:"), {DEPTH} | since("s0", "s1", "s2"), by_uuid)
may_have(listed(drive, BITMAP), since("s0", "s1", "s2"), by_uuid)
may_have(listed(drive, BASE, DEPTH), {BASE, DEPTH}, set())
may_have(listed(drive, BITMAP + "since-s1"), since("s1"), set())
may_have(listed(drive, BITMAP + "since-" + uuids[1]), since(uuids[1]), set())
may_have(listed(drive, "other:", "base:nothing", "qemu:nothing", BITMAP + "since-s9", "nonsense"), set(), set())
# A snapshot knows the older ones.
may_have(listed(snapshot, BITMAP), since("s0", "s1"), since(*uuids[:2]))
may_have(listed(snapshot, BITMAP + "since-s2"), set(), set())

# Some of many asked for exist: those are selected, in one negotiation.
h = connected(drive, ["other:thing", BASE, BITMAP + "since-s9", BITMAP + "since-s2"])
assert h.can_meta_context(BASE) and h.can_meta_context(BITMAP + "since-s2")
assert not h.can_meta_context("other:thing") and not h.can_meta_context(BITMAP + "since-s9")
seen = []
h.block_status(4096, 0, lambda context, *_: seen.append(context) or 0)
assert sorted(seen) == [BASE, BITMAP + "since-s2"], seen
h.shutdown()

# Another export on the same connection, before it is entered: nothing of the first one stays.
h = connected(drive, [BITMAP + "since-s2"], options=True)
h.set_full_info(True)
h.opt_info()
assert h.can_meta_context(BITMAP + "since-s2") and not h.is_read_only()
h.set_export_name("db@s2")
h.opt_info()
assert h.is_read_only() and not h.can_meta_context(BITMAP + "since-s2")
h.set_export_name("nobody")
refused("ENOENT", h.opt_info)
h.set_export_name("db")
h.opt_go()
assert h.can_meta_context(BITMAP + "since-s2") and h.pread(1, 0)
h.shutdown()
