"""The named steps: which there are, and in which set-up one comes by."""

import shlex
import subprocess

# What only messages of one QoS come by. Wills have the QoS of the set-up; libmosquitto subscribes with QoS 1.
ONLY = {
    1: ("puback_sent",),
    2: ("inbound_recorded", "outbound_recorded", "pubrec_came", "received_recorded", "pubrel_sent", "pubcomp_came",
        "outbound_ended", "pubrec_sent", "pubrel_came", "inbound_ended", "pubcomp_sent"),
}
ONLY_AWAY = {1: ("puback_came",), 2: ()}    # the same, where libmosquitto does not take part


def listed_by(command):
    """What the broker lists with --crash-steps; nothing when it is another build, or knows no such option."""
    try:
        done = subprocess.run([shlex.split(command)[0], "--crash-steps"], capture_output=True, text=True, timeout=10,
                              check=False)
    except OSError:
        return []
    return done.stdout.split() if done.returncode == 0 else []


def reachable(step, qos, away):
    other = 3 - qos
    return step not in ONLY[other] and not (away and step in ONLY_AWAY[other])
