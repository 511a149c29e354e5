"""What the tests of this folder share: both versions of a test in one, and sessions that stay."""

import struct

from harness import ACCEPTED, BrokerTest
import wire


class SpecTest(BrokerTest):
    """A broker for statements that hold for MQTT 3.1.1 and 5.0 alike."""

    abstract = True
    config = ACCEPTED

    @staticmethod
    def versions():
        return 4, 5

    def retained(self, client, topic_filter, **options):
        """What a new subscription brings. Retained messages come filter by filter: a second one marks the end."""
        marker = self.name("marker")
        with wire.Client(self.port, self.name()) as writer:
            writer.publish(marker, "end", 1, retain=True)
            client.subscribe([(topic_filter, wire.options(**options)), (marker, 0)])
            messages = [client.message()]
            while messages[-1].topic != marker:
                messages.append(client.message())
            writer.publish(marker, b"", 1, retain=True)
        return messages[:-1]

    def raw(self, version=5, **args):
        """A connection that has sent nothing."""
        return self.client(greet=False, version=version, **args)

    def ends(self, client, reason=None):
        """The broker ends the connection: 5.0 with this reason, 3.1.1 without a word."""
        self.assertEqual(client.ended(), reason if client.version == 5 else None)


def stays(version, **args):
    """Arguments of a client whose session stays when it leaves."""
    properties = args.pop("properties", [])
    if version == 5:
        args["properties"] = [("session_expiry_interval", 300), *properties]
    return {"version": version, "clean": False, **args}


def connect_body(version, flags, *fields, name=b"MQTT", level=None, keep_alive=60, properties=b"\0"):
    """The body of a CONNECT with flags that no client would set."""
    head = wire.binary(name) + bytes([version if level is None else level, flags]) + struct.pack("!H", keep_alive)
    return head + (properties if version == 5 else b"") + b"".join(fields)


def connect_packet(*args, first=0x10, **more):
    body = connect_body(*args, **more)
    return bytes([first]) + wire.varint(len(body)) + body
