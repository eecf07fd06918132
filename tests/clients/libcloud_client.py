"""Does Apache libcloud's CloudSigma driver do its work on a node?

Everything that the driver can do without servers, networks and keys.
"""

import os
import unittest
from urllib.parse import urlsplit

from libcloud.common.types import InvalidCredsError
from libcloud.compute.drivers.cloudsigma import CloudSigmaError
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider

URL, EMAIL, PASSWORD = (os.environ[name] for name in ("FLOE_URL", "FLOE_EMAIL", "FLOE_PASSWORD"))
PATIENCE = 30
PAUSE = 0.02


def connect(password=PASSWORD):
    """The driver wants TLS, lest passwords are seen on the way; on the way to this machine nobody looks."""
    at = urlsplit(URL)
    driver = get_driver(Provider.CLOUDSIGMA)(EMAIL, password, host=at.hostname, port=at.port, api_version="2.0")
    driver.connection.secure = 0
    driver.connection.connect()
    driver.DRIVE_TRANSITION_SLEEP_INTERVAL = PAUSE
    return driver


class Driver(unittest.TestCase):
    def setUp(self):
        self.driver = connect()

    def tearDown(self):
        for drive in self.driver.list_volumes():
            self.assertTrue(self.driver.destroy_volume(drive))

    def ready(self, drive):
        return self.driver._wait_for_drive_state_transition(drive, "unmounted", timeout=PATIENCE)

    def make(self, **more):
        return self.driver.create_volume(name="db", size=2, **more)

    def test_drives_are_made_listed_and_destroyed(self):
        self.assertEqual(self.driver.list_volumes(), [])
        made = self.make()
        self.assertEqual((made.name, made.size, made.media, made.status), ("db", 2, "disk", "creating"))
        other = self.make(media="cdrom", ex_avoid=[made.id, "00000000-0000-4000-8000-00000000000a"])
        self.assertEqual({drive.id for drive in self.driver.ex_list_user_drives()}, {made.id, other.id})
        found = self.ready(made)
        self.assertEqual((found.id, found.extra["mounted_on"], found.extra["storage_type"]), (made.id, [], "dssd"))
        self.assertTrue(self.driver.ex_destroy_drive(made))
        with self.assertRaises(CloudSigmaError) as caught:
            self.driver.ex_get_drive(made.id)
        self.assertEqual((caught.exception.http_code, caught.exception.error_type), (404, "notexist"))

    def test_more_drives_than_a_page_has_are_listed(self):
        made = {self.make().id for _ in range(25)}
        self.assertEqual({drive.id for drive in self.driver.list_volumes()}, made)

    def test_drives_are_cloned(self):
        drive = self.make(media="cdrom")
        clone = self.driver.ex_clone_drive(drive, name="copy", ex_avoid=[drive.id])
        self.assertEqual((clone.name, clone.size, clone.media), ("copy", 2, "cdrom"))
        self.assertNotEqual(clone.id, drive.id)
        self.ready(clone)
        self.assertEqual(self.driver.ex_clone_drive(drive).name, "db")

    def test_drives_are_resized(self):
        drive = self.make()
        resizing = self.driver.ex_resize_drive(drive, 3)
        self.assertEqual((resizing.id, resizing.status, resizing.size), (drive.id, "resizing", 2))
        self.assertEqual(self.ready(resizing).size, 3)
        with self.assertRaises(CloudSigmaError) as caught:
            self.driver.ex_resize_drive(drive, 1)
        self.assertEqual((caught.exception.http_code, caught.exception.error_point), (400, "size"))

    def test_wrong_passwords_are_understood(self):
        with self.assertRaises(InvalidCredsError):
            connect("wrong").list_volumes()

    def test_tags_are_made_listed_and_deleted(self):
        drive = self.make()
        tag = self.driver.ex_create_tag("things")
        self.assertEqual((tag.name, tag.resources), ("things", []))
        self.assertEqual([found.id for found in self.driver.ex_list_tags()], [tag.id])
        self.assertEqual(self.driver.ex_get_tag(tag.id).name, "things")
        # The driver forgets what it was asked to tag, and sends what was tagged before: nothing.
        self.assertEqual(self.driver.ex_tag_resource(drive, tag).resources, [])
        self.assertTrue(self.driver.ex_delete_tag(tag))
        self.assertEqual(self.driver.ex_list_tags(), [])

    def test_groups_and_limits_are_told(self):
        drive = self.make()
        groups = self.driver.ex_list_drives_availability_groups()
        self.assertIn(drive.id, [uuid for group in groups for uuid in group])
        self.assertEqual(self.driver.ex_list_servers_availability_groups(), [])
        capabilities = self.driver.ex_list_capabilities()
        self.assertGreater(capabilities["snapshots"]["max_per_drive"], 0)
        self.assertEqual(self.driver.list_nodes(), [])

    def test_money_and_usage_are_told(self):
        self.assertEqual(set(self.driver.ex_get_balance()) & {"balance", "currency"}, {"balance", "currency"})
        before = self.driver.ex_get_usage()["usage"]["dssd"]["using"]
        self.make()
        self.assertEqual(self.driver.ex_get_usage()["usage"]["dssd"]["using"] - before, 2 * 1024**3)


if __name__ == "__main__":
    unittest.main()
