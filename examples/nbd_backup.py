#!/usr/bin/env python3
"""Back up a snapshot over NBD: all of it, or what changed since an older one.

    nbd_backup.py URI FILE            FILE becomes the image of the snapshot that URI names
    nbd_backup.py URI FILE SINCE      FILE, a backup of the snapshot SINCE, becomes that of URI

Needs nbdcopy and nbdinfo (libnbd-bin) and python3-libnbd. SINCE is a snapshot's name or uuid. An example of two nights:

    nbd_backup.py 'nbd+unix:///db%40monday?socket=/srv/floe/nbd.sock' db.raw
    nbd_backup.py 'nbd+unix:///db%40tuesday?socket=/srv/floe/nbd.sock' db.raw monday
"""
import json
import subprocess
import sys

import nbd

AT_ONCE = 4 << 20


def full(uri, file):
    subprocess.run(["nbdcopy", uri, file], check=True)


def incremental(uri, file, since):
    context = f"qemu:dirty-bitmap:since-{since}"
    told = subprocess.run(["nbdinfo", "--json", f"--map={context}", uri], check=True, stdout=subprocess.PIPE)
    changed = [extent for extent in json.loads(told.stdout) if extent["type"] == 1]
    source = nbd.NBD()
    source.connect_uri(uri)
    with open(file, "r+b") as backup:
        # The drive may have been made longer or shorter between the two.
        backup.truncate(source.get_size())
        for extent in changed:
            end = extent["offset"] + extent["length"]
            for offset in range(extent["offset"], end, AT_ONCE):
                backup.seek(offset)
                backup.write(source.pread(min(AT_ONCE, end - offset), offset))
    source.shutdown()
    print(sum(extent["length"] for extent in changed), "bytes copied")


if len(sys.argv) not in (3, 4):
    sys.exit(__doc__)
incremental(*sys.argv[1:]) if len(sys.argv) == 4 else full(*sys.argv[1:])
