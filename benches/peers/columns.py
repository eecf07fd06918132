"""Who is measured, and how is each made to do the same?

A column has an image full of data; it overwrites and reads it, freezes it, and says how big that was. Methods that a column cannot
do answer None. Times are in microseconds, rates in calls or megabytes a second.
"""

import fcntl
import json
import os
import re
import shutil
import statistics
import struct
import subprocess
import time
from pathlib import Path

BLOCK = 4096
MIB = 1 << 20


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def timed(work):
    begun = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begun) / 1000


class Column:
    """What a plain file can do, by the driver's loops."""

    kind = "raw"

    def __init__(self, name, path, options):
        self.name, self.path, self.options = name, path, options
        self.seed = 0
        words = [options.driver, self.kind, path, str(options.mebibytes)]
        self.driver = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        try:
            self.driver.stdin.write(" ".join(map(str, words)) + "\n")
            self.driver.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.driver.stdout.readline()
        if not line.endswith("\n"):
            raise SystemExit(f"{self.name}: the driver ended at {words}")
        return {name: float(value) for name, value in (pair.split("=") for pair in line.split())}

    def next_seed(self):
        self.seed += 1_000_003
        return self.seed

    def settle(self):
        """What is dirty is somebody else's: it goes to the disk before a figure is taken."""
        run("sync", "-f", self.path)

    def renew(self):
        self.ask("renew")

    def fill(self):
        return self.ask("fill")["mbps"]

    def scan(self):
        self.ask("scan")
        return self.ask("scan")["mbps"]

    def read(self, count):
        """The middle one, for a rate would tell who else had the processor."""
        return self.ask("read", count, self.next_seed())["p50"]

    def write(self, count, every=None, fewer=1):
        """Rate and the 99th percentile of a call; the last sync is in the rate. Who is slow may write `fewer`."""
        del fewer
        said = self.ask("write", count, every or count, self.next_seed())
        return said["rate"], said["p99"]

    def snapshot(self):
        """What the file system's least costs: a block and a sync."""
        return self.ask("page", self.next_seed())["us"]

    clone = snapshot

    def delete(self):
        return None

    def size(self):
        return None

    def used(self):
        return None

    def close(self):
        self.driver.stdin.close()
        self.driver.wait()


class Floe(Column):
    kind = "floe"

    def snapshot(self):
        return self.ask("snapshot")["us"]

    def clone(self):
        return self.ask("clone")["us"]

    def delete(self):
        return self.ask("delete")["us"]

    def size(self):
        return self.ask("size")["us"]

    def used(self):
        return self.ask("used")["bytes"]


class OnFileSystem(Column):
    """An image in a file of a file system that can share blocks between files."""

    def __init__(self, name, mount, options):
        self.mount = mount
        self.directory = mount / name.replace(" ", "-")
        self.made = 0
        self.frozen = []
        self.prepare()
        super().__init__(name, self.directory / "image", options)

    def next_path(self):
        self.made += 1
        return self.mount / f"{self.directory.name}-{self.made}"

    def renew(self):
        while self.frozen:
            self.delete()
        self.cleaned()
        super().renew()

    def delete(self):
        oldest = self.frozen.pop(0)
        return timed(lambda: self.remove(oldest))

    def size(self):
        return timed(lambda: extents(self.image_of(self.frozen[0])))

    def used(self):
        self.settle()
        about = os.statvfs(self.mount)
        return (about.f_blocks - about.f_bfree) * about.f_frsize

    def cleaned(self):
        """What was deleted is gone."""


class Xfs(OnFileSystem):
    """A snapshot is a file that shares all blocks."""

    def prepare(self):
        self.directory.mkdir()

    def image_of(self, frozen):
        return frozen

    def share(self, source, target):
        def work():
            with open(source, "rb") as old, open(target, "xb") as new:
                fcntl.ioctl(new, 0x40049409, old.fileno())  # FICLONE
                os.fsync(new)

        return timed(work)

    def snapshot(self):
        self.frozen.append(self.next_path())
        return self.share(self.path, self.frozen[-1])

    def clone(self):
        path = self.next_path()
        taken = self.share(self.frozen[-1], path)
        path.unlink()
        return taken

    def remove(self, frozen):
        frozen.unlink()


class Btrfs(OnFileSystem):
    """A snapshot is one of the subvolume that has the image."""

    def prepare(self):
        run("btrfs", "subvolume", "create", self.directory)

    def image_of(self, frozen):
        return frozen / "image"

    def call(self, directory, request, source, name):
        """An ioctl on a directory with struct btrfs_ioctl_vol_args."""
        opened = os.open(directory, os.O_RDONLY)
        try:
            fcntl.ioctl(opened, request, bytearray(struct.pack("q4088s", source, name.encode())))
        finally:
            os.close(opened)

    def share(self, source, target):
        opened = os.open(source, os.O_RDONLY)
        try:
            return timed(lambda: self.call(target.parent, 0x50009401, opened, target.name))  # BTRFS_IOC_SNAP_CREATE
        finally:
            os.close(opened)

    def snapshot(self):
        self.frozen.append(self.next_path())
        return self.share(self.directory, self.frozen[-1])

    def clone(self):
        path = self.next_path()
        taken = self.share(self.frozen[-1], path)
        self.remove(path)
        return taken

    def remove(self, frozen):
        self.call(frozen.parent, 0x5000940F, 0, frozen.name)  # BTRFS_IOC_SNAP_DESTROY

    def cleaned(self):
        # The first wakes who cleans up, who would sleep for half a minute.
        run("btrfs", "filesystem", "sync", self.mount)
        run("btrfs", "subvolume", "sync", self.mount)


class BtrfsNocow(Btrfs):
    """An image that is overwritten in place where nothing shares it, without checksums."""

    def prepare(self):
        super().prepare()
        run("chattr", "+C", self.directory)


def extents(path):
    """How many bytes of a file nobody shares, by its map of extents."""
    count, alone, start = 4096, 0, 0
    with open(path, "rb") as file:
        while True:
            buffer = bytearray(struct.pack("QQIIII", start, (1 << 64) - 1 - start, 0, 0, count, 0) + bytes(56 * count))
            fcntl.ioctl(file, 0xC020660B, buffer)  # FS_IOC_FIEMAP
            found = struct.unpack_from("I", buffer, 20)[0]
            for number in range(found):
                logical, _, length, _, _, flags, *_ = struct.unpack_from("QQQQQIIII", buffer, 32 + 56 * number)
                alone += 0 if flags & 0x2000 else length
                start = logical + length
                if flags & 1:
                    return alone
            if not found:
                return alone


class Qcow2(Column):
    """An image of QEMU, driven by its own benchmark: the next block is a fixed step away, and what a process costs
    that reads one block is subtracted."""

    create = []
    # Its first overwrites copy 64 KiB and take long: a quarter of them says as much.
    fewer = 4

    def __init__(self, name, directory, options):
        self.name, self.directory, self.options = name, directory, options
        self.seed = self.made = self.pattern = 0
        self.files, self.frozen = [], []
        self.around = 0
        directory.mkdir()

    @property
    def path(self):
        return self.files[-1] if self.files else self.directory

    def renew(self):
        shutil.rmtree(self.directory)
        self.directory.mkdir()
        self.files, self.frozen = [self.directory / "0.qcow2"], []
        run("qemu-img", "create", "-q", "-f", "qcow2", *self.create, self.files[0], f"{self.options.mebibytes}M")
        self.fill()
        self.around = statistics.median(self.bench(1, BLOCK, BLOCK)[1] for _ in range(5))

    def bench(self, count, size, step, *more):
        """Seconds of the requests, as the program says, and of the process around them, which flushes what it wrote before it ends."""
        offset = self.next_seed() * size % (self.options.mebibytes * MIB)
        words = ["qemu-img", "bench", "-f", "qcow2", "-t", "writeback", "-d", 1, "-c", count, "-s", size, "-S", step, "-o", offset]
        begun = time.perf_counter()
        said = run(*words, *more, self.path)
        whole = time.perf_counter() - begun
        # It says milliseconds, so it may say none.
        requests = max(float(re.search(r"completed in ([\d.]+) seconds", said)[1]), 0.0005)
        return requests, whole - requests

    def writing(self):
        self.pattern = self.pattern % 255 + 1
        return ["-w", f"--pattern={self.pattern}"]

    def seconds(self, *arguments):
        """Of the requests and the last flush."""
        requests, around = self.bench(*arguments)
        return requests + max(around - self.around, 0)

    def fill(self):
        mebibytes = self.options.mebibytes
        return mebibytes * MIB / 1e6 / self.seconds(mebibytes, MIB, MIB, *self.writing())

    def scan(self):
        mebibytes = self.options.mebibytes
        return mebibytes * MIB / 1e6 / self.seconds(mebibytes, MIB, MIB)

    def step(self):
        """Far away, and no block is met twice before all were."""
        return int(self.options.mebibytes * MIB // BLOCK * 0.618) // 2 * 2 * BLOCK + BLOCK

    def read(self, count):
        return self.seconds(count, BLOCK, self.step()) / count * 1e6

    def write(self, count, every=None, fewer=fewer):
        count = max(count // fewer, 64)
        more = [f"--flush-interval={every}"] if every else []
        return count / self.seconds(count, BLOCK, self.step(), *self.writing(), *more), None

    def used(self):
        self.settle()
        return sum(path.stat().st_blocks * 512 for path in self.directory.iterdir())

    def asked(self, *commands):
        """How long QEMU's storage daemon takes for commands about the image, which it has open."""
        daemon = ["qemu-storage-daemon", "--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"]
        daemon += ["--blockdev", f"driver=qcow2,node-name=image,file.driver=file,file.filename={self.path}"]
        with subprocess.Popen(daemon, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

            def ask(command, **arguments):
                process.stdin.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    answer = json.loads(line)
                    if "error" in answer:
                        process.kill()
                        raise SystemExit(f"{self.name}: {command}: {answer['error']}")
                    if "return" in answer:
                        return
                raise SystemExit(f"{self.name}: {command}: the daemon ended")

            ask("qmp_capabilities")
            taken = timed(lambda: [ask(name, **arguments) for name, arguments in commands])
            ask("quit")
        return taken

    def close(self):
        pass


class Qcow2Internal(Qcow2):
    def snapshot(self):
        self.made += 1
        self.frozen.append(f"s{self.made}")
        return self.asked(("blockdev-snapshot-internal-sync", {"device": "image", "name": self.frozen[-1]}))

    def delete(self):
        return self.asked(("blockdev-snapshot-delete-internal-sync", {"device": "image", "name": self.frozen.pop(0)}))

    def clone(self):
        return None


class Qcow2Overlay(Qcow2):
    """What is written after a snapshot goes to a new file; the one before is the snapshot."""

    overlay = []

    def make(self, path):
        run("qemu-img", "create", "-q", "-f", "qcow2", *self.overlay, "-b", self.path, "-F", "qcow2", path)

    def snapshot(self):
        self.made += 1
        path = self.directory / f"{self.made}.qcow2"
        self.make(path)
        file = {"driver": "file", "filename": str(path)}
        new = {"driver": "qcow2", "node-name": "new", "file": file, "backing": None}
        taken = self.asked(("blockdev-add", new), ("blockdev-snapshot", {"node": "image", "overlay": "new"}))
        self.files.append(path)
        return taken

    def clone(self):
        """By the command, for it is made before anything has it open."""
        path = self.directory / "clone.qcow2"
        taken = timed(lambda: self.make(path)) - timed(lambda: run("qemu-img", "--version"))
        path.unlink()
        return taken

    def delete(self):
        """The newest goes with what was written since; another one would have to be copied into its neighbour."""
        self.files.pop().unlink()

    def size(self):
        """Of the newest alone: what was written since is a file."""
        return timed(lambda: os.stat(self.path))


class Qcow2Extended(Qcow2Overlay):
    create = overlay = ["-o", "extended_l2=on,cluster_size=128k"]
