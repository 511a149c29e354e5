"""A disk that has next to no room left: said while it can still be written, in the log, the audit log and as a metric."""

import json
import os
import struct

from harness import OwnBrokerTest, eventually, free_port, own_only, preload, tool
from test_audit import complaint_of
from test_faults import behind
from test_ledger import get

not_under = ("tsan",)
MIB = 1 << 20


@own_only("an audit log")
class Full(OwnBrokerTest):
    workers = 1

    def setUp(self):
        super().setUp()
        self.admin, self.file = free_port(), self.broker.root / "room"
        self.broker.config = f"admin_listener {self.admin}"
        self.room(1 << 40)
        asan = os.environ.get("ASAN_OPTIONS", "")
        behind(self.broker, tool("env"), f"LD_PRELOAD={preload('disk')}", f"DISK_FILE={self.file}",
               f"ASAN_OPTIONS={asan}:verify_asan_link_order=0")
        self.broker.start()

    def room(self, count):
        with open(self.file, "r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("Q", count))

    def is_full(self):
        return b"\nmetrino_disk_full 1\n" in get(self.admin, "/metrics")[2]

    def alerts(self):
        lines = (self.broker.data / "log" / "audit.jsonl").read_bytes().splitlines()
        return [entry["alert"] for entry in map(json.loads, lines) if entry["event"] == "alert"]

    def test_full(self):
        self.assertFalse(self.is_full())
        self.assertEqual(self.alerts(), [])
        self.room(5 * MIB)
        eventually(lambda: "disk_full" in self.alerts(), what="the alert")
        self.assertTrue(self.is_full())
        self.assertIn("next to no room: 5 MiB are left", self.broker.log())
        self.room(100 * MIB)
        eventually(lambda: "has room again: 100 MiB" in self.broker.log(), what="room")
        self.assertFalse(self.is_full())
        self.room(0)
        eventually(self.is_full, what="a full disk")
        self.assertEqual(self.alerts(), ["disk_full"])  # once an hour
        self.assertIsNone(complaint_of(self.broker.data / "log"))
