"""Does CloudSigma's own client for Python do its work on a node?

The steps are those of the acceptance tests in the client's repository, which its package does not have.
"""

import os
import time
import unittest

import cloudsigma.errors as errors
import cloudsigma.resource as cr

URL, EMAIL, PASSWORD = (os.environ[name] for name in ("FLOE_URL", "FLOE_EMAIL", "FLOE_PASSWORD"))
PATIENCE = 30
PAUSE = 0.02
GIB = 1024**3


def client(resource, password=PASSWORD):
    return resource(URL, EMAIL, password)


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.drives = client(cr.Drive)
        self.snapshots = client(cr.Snapshot)

    def tearDown(self):
        for drive in self.drives.list():
            self.drives.delete(drive["uuid"])
            self.wait_deleted(self.drives, drive["uuid"])

    def wait(self, resource, uuid, status):
        start = time.monotonic()
        while (found := resource.get(uuid))["status"] != status:
            self.assertLess(time.monotonic() - start, PATIENCE, found)
            time.sleep(PAUSE)
        return found

    def wait_deleted(self, resource, uuid):
        start = time.monotonic()
        while True:
            try:
                found = resource.get(uuid)
            except errors.ClientError as error:
                self.assertEqual(error.status_code, 404)
                return
            self.assertLess(time.monotonic() - start, PATIENCE, found)
            time.sleep(PAUSE)

    def make_drive(self, **more):
        drive = self.drives.create({"name": "test_drive", "size": 1024000000, "media": "disk", **more})
        self.assertEqual(drive["status"], "creating")
        self.wait(self.drives, drive["uuid"], "unmounted")
        return drive

    def make_snapshot(self, drive, **more):
        snapshot = self.snapshots.create({"drive": drive["uuid"], **more})
        self.assertEqual(snapshot["status"], "creating")
        self.wait(self.snapshots, snapshot["uuid"], "available")
        return snapshot


class Drives(Case):
    def test_cycle(self):
        uuid = self.make_drive()["uuid"]
        drive = self.drives.get(uuid)
        drive["meta"] = {"meta_key1": "value", "meta_key2": "value\nwith\nnew lines"}
        self.assertEqual(self.drives.update(uuid, drive)["meta"], drive["meta"])
        self.assertEqual(self.drives.get(uuid), drive)
        self.drives.delete(uuid)
        self.wait_deleted(self.drives, uuid)

    def test_resize_by_update(self):
        definition = {"name": "test_drive_1", "size": 2 * GIB, "media": "disk"}
        uuid = self.make_drive(**definition)["uuid"]
        for size in (5 * GIB, 6 * GIB + 7 * 1024**2 + 3 * 1024):
            self.assertEqual(self.drives.update(uuid, {**definition, "size": size})["status"], "resizing")
            found = self.wait(self.drives, uuid, "unmounted")
            self.assertLess(abs(size - found["size"]), 64 * 1024)

    def test_resize_by_action(self):
        drive = self.make_drive()
        drive["size"] = 2 * drive["size"]
        self.drives.resize(drive["uuid"], drive)
        self.assertEqual(self.wait(self.drives, drive["uuid"], "unmounted")["size"], drive["size"])

    def test_listing(self):
        request = [{"name": f"test_drive_{number}", "size": "1024000000", "media": "disk"} for number in range(5)]
        drives = self.drives.create(request)
        self.assertEqual([drive["name"] for drive in drives], [drive["name"] for drive in request])
        for drive in drives:
            self.wait(self.drives, drive["uuid"], "unmounted")
        self.assertEqual(len(self.drives.list()), 5)
        for drive in self.drives.list(query_params={"fields": "uuid,status"}):
            self.assertEqual(set(drive), {"uuid", "status"})
        self.assertEqual({drive["uuid"] for drive in self.drives.list_detail()}, {drive["uuid"] for drive in drives})

    def test_edit(self):
        drive = self.make_drive()
        changed = {"name": "test_drive_y", "size": 1024000000, "media": "cdrom"}
        found = self.drives.update(drive["uuid"], changed)
        self.assertEqual({key: found[key] for key in changed}, changed)

    def test_clone(self):
        drive = self.make_drive()
        wanted = {"name": "test_drive_y", "media": "cdrom", "affinities": []}
        for clone in (self.drives.clone(drive["uuid"], wanted), self.drives.clone(drive["uuid"], wanted, avoid=drive["uuid"])):
            self.assertEqual(clone["status"], "cloning_dst")
            found = self.wait(self.drives, clone["uuid"], "unmounted")
            self.assertEqual({key: found[key] for key in wanted}, wanted)
        self.drives.create({"name": "test_drive_x", "size": "1024000000", "media": "disk"}, avoid=drive["uuid"])

    def test_schema(self):
        self.assertIn("media", self.drives.get_schema()["fields"])


class Snapshots(Case):
    def test_cycle(self):
        drive = self.make_drive()
        self.assertFalse(drive["snapshots"])
        first = self.make_snapshot(drive, name="first_snapshot", meta={"key": "val"})
        self.assertEqual(first["drive"]["uuid"], drive["uuid"])
        self.assertEqual(self.drives.get(drive["uuid"])["snapshots"][0]["uuid"], first["uuid"])
        other = self.make_snapshot(drive)
        other["name"] = "another_snap"
        self.snapshots.update(other["uuid"], other)
        self.assertEqual(self.snapshots.get(other["uuid"])["name"], "another_snap")
        found = [snapshot["uuid"] for snapshot in self.drives.get(drive["uuid"])["snapshots"]]
        self.assertEqual(found, [other["uuid"], first["uuid"]])
        self.snapshots.delete(first["uuid"])
        self.wait_deleted(self.snapshots, first["uuid"])
        self.assertEqual(self.drives.get(drive["uuid"])["snapshots"][0]["uuid"], other["uuid"])
        # A drive takes its snapshots with it.
        self.drives.delete(drive["uuid"])
        self.wait_deleted(self.drives, drive["uuid"])
        self.wait_deleted(self.snapshots, other["uuid"])

    def test_listing(self):
        drives = [self.make_drive()["uuid"] for _ in range(3)]
        # The second is asked for while the first may still be in the making.
        made = [self.snapshots.create({"drive": drive})["uuid"] for drive in drives for _ in range(2)]
        self.assertEqual(self.snapshots.get(made[0])["drive"]["uuid"], drives[0])
        for found in (self.snapshots.list(), self.snapshots.list_detail()):
            self.assertEqual({snapshot["uuid"] for snapshot in found}, set(made))
        found = self.snapshots.list_detail(query_params={"drive": drives[0]})
        self.assertEqual({snapshot["uuid"] for snapshot in found}, set(made[:2]))
        self.drives.delete(drives[0])
        self.wait_deleted(self.drives, drives[0])
        self.assertEqual(self.snapshots.list_detail(query_params={"drive": drives[0]}), [])

    def test_clone(self):
        drive = self.make_drive()
        snapshot = self.make_snapshot(drive)
        clone = self.snapshots.clone(snapshot["uuid"], avoid=drive["uuid"])
        self.assertEqual([clone[key] for key in ("name", "media", "size")], [snapshot["name"], drive["media"], drive["size"]])
        self.wait(self.drives, clone["uuid"], "unmounted")
        wanted = {"media": "cdrom", "name": "test_drive_snapshot_clone_name"}
        clone = self.snapshots.clone(snapshot["uuid"], data=wanted, avoid=drive["uuid"])
        self.assertEqual({key: clone[key] for key in wanted}, wanted)
        self.wait(self.drives, clone["uuid"], "unmounted")

    def test_schema(self):
        self.assertEqual(self.snapshots.get_schema()["default_limit"], 20)


class RemoteSnapshots(Case):
    def test_cycle(self):
        remote = client(cr.RemoteSnapshot)
        drive = self.make_drive()
        made = remote.create({"drive": drive["uuid"], "name": "backup", "location": "ZRH", "meta": {"key": "val"}})
        self.assertEqual([made["status"], made["location"]], ["creating", "ZRH"])
        found = self.wait(remote, made["uuid"], "available")
        self.assertEqual(self.drives.get(drive["uuid"])["remote_snapshots"][0]["uuid"], made["uuid"])
        # The interval has not passed.
        with self.assertRaises(errors.PermissionError):
            remote.create({"drive": drive["uuid"]})
        found["name"] = "another name"
        self.assertEqual(remote.update(found["uuid"], found)["name"], "another name")
        self.drives.delete(drive["uuid"])
        self.wait_deleted(self.drives, drive["uuid"])
        self.assertEqual(remote.list(query_params={"drive": drive["uuid"]})[0]["uuid"], made["uuid"])
        self.assertEqual(remote.list_detail()[0]["name"], "another name")
        clone = remote.clone(made["uuid"], data={"name": "test_drive_clone"}, avoid=drive["uuid"])
        self.assertEqual([clone["name"], clone["size"]], ["test_drive_clone", drive["size"]])
        self.wait(self.drives, clone["uuid"], "unmounted")
        remote.delete(made["uuid"])
        self.wait_deleted(remote, made["uuid"])

    def test_schema(self):
        self.assertIn("location", client(cr.RemoteSnapshot).get_schema()["fields"])

    def test_locations(self):
        codes = client(cr.Capabilites).list()["remote_snapshots"]["remote_locations"]
        self.assertLessEqual(set(codes), {location["id"] for location in client(cr.Locations).list()})


class Beside(Case):
    def test_errors_are_understood(self):
        with self.assertRaises(errors.AuthError):
            client(cr.Drive, "wrong").list()
        with self.assertRaises(errors.ClientError) as caught:
            self.drives.get("00000000-0000-4000-8000-00000000000a")
        self.assertEqual(caught.exception.status_code, 404)
        with self.assertRaises(errors.ClientError) as caught:
            self.drives.create({"name": "x"})
        self.assertEqual(caught.exception.status_code, 400)
        self.assertTrue(caught.exception.request_id)

    def test_there_are_no_servers(self):
        self.assertEqual(client(cr.Server).list_detail(), [])

    def test_tags(self):
        tags = client(cr.Tags)
        drive = self.make_drive()
        tag = tags.create({"name": "things", "resources": [drive["uuid"]]})
        self.assertEqual(tags.get(tag["uuid"])["resources"][0]["uuid"], drive["uuid"])
        self.assertEqual(self.drives.list_detail(query_params={"tag": tag["uuid"]})[0]["uuid"], drive["uuid"])
        tags.update(tag["uuid"], {"name": "nothing", "resources": []})
        self.assertEqual(self.drives.get(drive["uuid"])["tags"], [])
        tags.delete(tag["uuid"])
        self.wait_deleted(tags, tag["uuid"])
        self.assertEqual(tags.list(), [])

    def test_profile(self):
        profiles = client(cr.Profile)
        profile = profiles.get()
        for company in ("Newly Set Company Name", ""):
            profile["company"] = company
            self.assertEqual(profiles.update(profile), profile)

    def test_money(self):
        self.assertIsInstance(client(cr.Balance).get()["balance"], str)
        self.assertIn("backup", client(cr.CurrentUsage).get()["usage"])
        self.assertIn("snapshots", client(cr.Capabilites).list())


if __name__ == "__main__":
    unittest.main()
