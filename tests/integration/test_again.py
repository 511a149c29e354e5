"""Who comes again at once was heard to the end before."""

from harness import BrokerTest
import wire

TIMES = 600


class Again(BrokerTest):
    workers = 2  # a connection moves to the one that its client identifier belongs to

    def test_what_was_said_on_the_connection_before(self):
        """A device that does no more than connect, say something and leave, with one client identifier: nothing is lost, no will."""
        topic, will, client_id = self.name("said"), self.name("will"), self.name("device")
        watcher = self.client(version=4)
        watcher.subscribe([(topic, 0), (will, 0)])
        for number in range(TIMES):
            device = wire.Client(self.port, client_id, version=4, will=wire.Will(will, b"gone"))
            device.send(wire.publish(topic, b"%d" % number, version=4) + wire.disconnect(version=4))
            device.cut()
        heard = [watcher.expect(wire.PUBLISH) for _ in range(TIMES)]
        self.assertEqual([(message.topic, message.payload) for message in heard],
                         [(topic, b"%d" % number) for number in range(TIMES)])
