"""One run: a broker, its clients, the kills, and the verdict."""

import dataclasses
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import pathlib

import disk
import wire
from broker import Broker, Failure
from checker import AWAY, CONNECTED, Checker
from fleet import Fleet
from newcomers import BROKEN, Sessions, Wills

HERE = pathlib.Path(__file__).resolve().parent
DRAIN_S = 45                 # more than the broker's restart_grace
STEP_TIMEOUT_S = 4
CUT_AT_MOST = 120            # writes and syncs until the power goes away
STEP_SKIPS = 8               # passes that are let go by, at most, before the broker ends itself
TWICE_WITHIN_S = 0.030
TWICE_SOON_S = 0.120         # or so: the dead process may need most of the 30 ms to go
NEWCOMER_EVERY = 4           # kills
TOPICS = ("chaos/pub-", "chaos/will-")     # how each begins; filters are stored, and are less than that
TWICE_IN = 6                 # kills


@dataclasses.dataclass
class Options:
    seed: int
    kills: int = 200
    seconds: float = 0            # 0: until the kills are done
    qualities: tuple = (1, 2)
    libraries: tuple = ()
    kinds: tuple = (CONNECTED, AWAY)
    command: str = ""
    kind: str = "metrino"
    config: tuple = ()
    plant: tuple = ()             # faults for proxy.py
    step: str = ""                # the broker kills itself there, `kills` times
    cut: bool = False             # connections are cut and the broker lives: what the clients do by themselves
    watch: str = ""               # a file that gets every packet
    strace: bool = False
    power: bool = False           # each death takes the power with it: tests/power
    lies: bool = False            # and the disk had said that it was synced
    strict_away: bool = False     # what was queued in RAM for somebody absent counts as well
    keep: bool = False
    pace_s: float = 0.012
    calm_s: float = 1.5           # traffic before the first kill; all of it, when there is no kill


class Proxy:
    def __init__(self, port, seed, faults, watch=""):
        command = [sys.executable, "-B", str(HERE / "proxy.py"), str(port), str(seed), ",".join(faults)]
        command += [watch] if watch else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def cut(self):
        self.process.send_signal(signal.SIGUSR1)

    def finish(self):
        """How often each fault was planted."""
        self.process.terminate()
        words = self.process.stdout.read().split("\n")
        self.process.wait(5)
        return {fault: sum(line.startswith(fault) for line in words) for fault in ("lose", "duplicate", "reorder")}


class Run:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.checker = Checker(f"canary{self.random.getrandbits(64):016x}")
        self.broker = Broker(options.command, options.kind, options.config, options.strace,
                             random.Random(self.random.getrandbits(32)) if options.power else None)
        self.fleet = Fleet(self.checker, options.libraries, options.qualities, self.random.getrandbits(32),
                           options.pace_s, options.kinds)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="metrino-chaos-clients-"))
        self.wills = Wills(self.checker, self.broker.port, options.qualities)
        self.sessions, self.promises_broken = Sessions(self.broker.port), []
        self.proxy = None
        self.kills = self.kills_twice = self.kills_twice_up = self.kills_under_traffic = self.unreached = 0
        self.planted, self.leaks, self.bytes_read, self.trace = {}, [], 0, ([], 0)
        self.retained_kept, self.seconds, self.failure = 0, 0.0, ""

    # --- the course of a run

    def go(self):
        try:
            self.live()
        except Failure as failure:
            self.failure = str(failure)
        finally:
            self.fleet.finish()
            if self.proxy:
                self.planted = self.proxy.finish()
            self.broker.finish(self.options.keep)
            if self.options.keep:
                print(f"kept: {self.broker.root} {self.folder}")
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def live(self):
        began = time.monotonic()
        self.start()
        self.broker.ready()
        port = subscribers_port = self.broker.port
        everybody = self.options.cut or self.options.watch
        if self.options.plant or everybody:
            self.proxy = Proxy(port, self.options.seed, self.options.plant or ("none",), self.options.watch)
            subscribers_port = self.proxy.port
        self.fleet.start(subscribers_port if everybody else port, subscribers_port, self.folder)
        self.fleet.feeding = True
        self.fleet.run(self.options.calm_s)
        end = time.monotonic() + (self.options.seconds or 1e9)
        if self.options.step:
            self.die_at_step()
        while self.kills < self.options.kills and time.monotonic() < end:
            self.one_death()
        self.fleet.drain(DRAIN_S)
        self.look_for_sessions()
        self.retained_kept = self.count_retained()
        self.look_at_disk()
        self.broker.kill()
        self.look_at_disk()
        if self.options.strace:
            self.trace = disk.payloads_traced(self.broker.traces(), self.checker.canary, self.broker.port)
        self.seconds = time.monotonic() - began

    def one_death(self):
        if self.options.cut:
            self.live_for_a_while()
            self.kills_under_traffic += self.fleet.open_messages() > 0
            self.kills += 1
            self.proxy.cut()
            return
        if self.options.power and self.random.random() < 0.5:
            self.die_at_write()
            return
        self.live_for_a_while()
        self.somebody_comes()
        self.expect_running()
        died = time.monotonic()
        self.count_death()
        if self.random.randrange(TWICE_IN) == 0 and self.kills < self.options.kills:
            self.die_again(died)
        self.pause()
        self.start()

    def die_again(self, died):
        """Once more, before the broker can have done much: some die before they listen, some while clients return."""
        said = self.broker.log_path.stat().st_size
        self.start()
        until = died + self.random.choice((TWICE_WITHIN_S - 0.002, TWICE_SOON_S))
        self.fleet.run(self.random.uniform(0, max(0, until - time.monotonic())))
        self.expect_running()
        within = time.monotonic() - died <= TWICE_WITHIN_S
        self.count_death()
        self.kills_twice += within
        self.kills_twice_up += b"is ready" in self.broker.log_path.read_bytes()[said:]

    def pause(self):
        """Between a death and the next start."""
        self.look_at_disk()
        self.fleet.run(self.random.choice((0, 0, 0.005, 0.05, 0.3)) * self.random.random())

    def somebody_comes(self):
        """Now and then; the kill may come while a will is on its way."""
        if self.kills % NEWCOMER_EVERY == 1:
            self.sessions.one_comes()
            self.wills.leave_one()
            self.fleet.run(self.random.uniform(0, 0.02))

    def count_death(self):
        self.kills_under_traffic += self.fleet.open_messages() > 0
        self.broker.kill()
        self.kills += 1

    def expect_running(self):
        if not self.broker.running():
            raise Failure(f"the broker ended by itself with {self.broker.process.returncode}:\n{self.broker.tail()}")

    def live_for_a_while(self):
        """Any instant, or one shortly after messages moved in both directions again."""
        fleet = self.fleet
        if self.random.random() < 0.3:
            fleet.run(self.random.uniform(0, 1.5))
            return
        acks, deliveries = fleet.acks + self.random.randrange(20), fleet.deliveries + self.random.randrange(60)
        fleet.run(3, lambda: fleet.acks > acks and fleet.deliveries > deliveries)
        fleet.run(min(self.random.expovariate(10), 1))

    def die_at_step(self):
        """One kill at any instant, then brokers that end themselves at the step, then one that lives. So the step is
        met on the way back from another death, with the clients returning."""
        self.broker.kill()
        while self.kills < self.options.kills:
            self.pause()
            skip = self.random.randrange(STEP_SKIPS) if self.kills else 0
            self.start(METRINO_CRASH_AT=self.options.step, METRINO_CRASH_SKIP=str(skip))
            self.provoke(STEP_TIMEOUT_S)
            if self.broker.running():
                self.unreached += 1
            elif self.broker.process.returncode != -signal.SIGKILL:
                self.expect_running()
            self.count_death()
        self.pause()
        self.start()

    def die_at_write(self):
        """A broker whose power goes away with its n-th write or sync, on the way back from another loss."""
        self.expect_running()
        self.broker.kill()
        self.start(cut=self.random.randrange(1, CUT_AT_MOST))
        self.provoke(STEP_TIMEOUT_S)
        self.unreached += self.broker.running()
        self.count_death()
        self.pause()
        self.start()

    def start(self, **how):
        self.broker.start(lies=self.options.lies, **how)

    def provoke(self, seconds):
        """Lets come by whatever has a step, until the broker is dead: wills and new sessions too, once everybody had
        time to return."""
        end = time.monotonic() + seconds
        while self.broker.running() and time.monotonic() < end:
            self.fleet.run(0.1, lambda: not self.broker.running())
            if self.broker.running():
                self.random.choice((self.wills.leave_one, self.sessions.one_comes))()

    # --- what is looked at in the end

    def count_retained(self):
        """A newcomer asks for retained messages. They live in RAM only: for information."""
        self.expect_running()
        client = wire.Client(self.broker.port, "newcomer", version=4)
        client.subscribe("chaos/#", 0)
        kept = 0
        try:
            while True:
                kept += client.receive(0.3).type == wire.PUBLISH
        except (TimeoutError, wire.Closed):
            client.cut()
        return kept

    def look_for_sessions(self):
        self.expect_running()
        try:
            self.promises_broken = self.sessions.broken_promises()
        except BROKEN as error:
            raise Failure(f"who came new cannot return: {error!r}") from None

    def look_at_disk(self):
        leaks, self.bytes_read = disk.secrets_in([self.broker.data, self.broker.log_path],
                                                 [self.checker.canary, *TOPICS])
        self.leaks += leaks

    # --- the verdict

    def stuck(self):
        return {c.name: len(c.open) for c in self.fleet.publishers if c.open}

    def idle(self):
        return ([c.name for c in self.fleet.publishers if not c.completed]
                + [c.name for c in self.fleet.subscribers if not c.received])

    def refused(self):
        return sum(c.refused for c in self.fleet.publishers)

    def sessions_lost(self):
        return sum(c.sessions_lost for c in self.fleet.subscribers)

    def checks(self):
        """[(what is promised, whether it held, the figures)]"""
        options, checker = self.options, self.checker
        found = [("the broker and the clients stayed in step", not self.failure, self.failure)]
        for qos in checker.qualities():
            for kind in checker.kinds():
                row = checker.row(qos, kind)
                if not row.owed + row.delivered:
                    continue
                if kind == CONNECTED or options.strict_away:
                    found.append((f"QoS {qos}, {kind}: none lost", not row.lost, f"{row.lost} of {row.owed}"))
                if qos == 2:
                    found.append((f"QoS 2, {kind}: none duplicated", not row.duplicated, str(row.duplicated)))
                found.append((f"QoS {qos}, {kind}: order kept", not row.disordered, str(row.disordered)))
        found += [
            ("nothing came that was not sent", not checker.foreign, str(checker.foreign[:3])),
            ("every message was acknowledged in the end", not self.stuck(), str(self.stuck())),
            ("no message was refused", not self.refused(), f"{self.refused()} times"),
            ("every client took part", not self.idle(), str(self.idle())),
            ("sessions outlived the kills", not self.sessions_lost(), f"{self.sessions_lost()} times not"),
            ("what CONNACK and SUBACK said was so", not self.promises_broken,
             f"{len(self.promises_broken)} of {len(self.sessions.told)} not"),
            ("no payload and no topic in the data directory, or in the log", not self.leaks, str(self.leaks[:3])),
        ]
        if options.strace:
            elsewhere, to_sockets = self.trace
            found.append(("payloads were written to clients only", to_sockets and not elsewhere,
                          f"{to_sockets} writes to clients; {elsewhere[:2]}"))
        if options.kills and not options.step:
            found += [("kills, or cuts, met open messages", self.kills_under_traffic > self.kills / 20,
                       f"{self.kills_under_traffic} of {self.kills}"),
                      ("kills came twice within 30 ms",
                       options.cut or options.power or self.kills_twice >= self.kills // 80,
                       f"{self.kills_twice} times; {self.kills_twice_up} second kills met a broker just ready"),
                      ("at least half of the kills fitted into the time", self.kills >= options.kills / 2,
                       f"{self.kills} of {options.kills}")]
        if options.power:
            found += self.power_checks()
        if options.step:
            found.append((f"step {options.step} was reached", self.unreached < self.kills,
                          f"{self.unreached} of {self.kills} times not"))
        return found

    def power_checks(self):
        """Losses that find nothing unsynced would prove nothing."""
        disk = self.broker.disk
        return [("losses of power met what was not synced", disk.lost >= max(1, disk.losses // 20),
                 f"{disk.losses} losses, {disk.unsynced} page versions and {disk.names_undone} names not synced, "
                 f"{disk.lost} files with less than the broker had written")]

    def planted_checks(self):
        """With faults planted and no kill, the verdict must be exactly what was planted."""
        rows = [self.checker.row(qos, CONNECTED) for qos in self.checker.qualities()]
        found = [("the planted run came to its end", not self.failure, self.failure),
                 ("every client took part", not self.idle(), str(self.idle()))]
        for fault, field in (("lose", "lost"), ("duplicate", "duplicated"), ("reorder", "disordered")):
            seen, planted = sum(getattr(row, field) for row in rows), self.planted.get(fault, 0)
            wanted = planted > 0 if fault in self.options.plant else planted == 0
            found.append((f"planted: {fault}", seen == planted and wanted, f"{planted} planted, {seen} found"))
        return found

    def table(self):
        lines = [f"{'':20}{'owed':>9}{'delivered':>11}{'lost':>7}{'duplicated':>12}{'disordered':>12}{'repeated':>10}"]
        for qos in self.checker.qualities():
            for kind in self.checker.kinds():
                row = self.checker.row(qos, kind)
                if row.owed + row.delivered == 0:
                    continue
                lines.append(f"QoS {qos}, {kind:13}{row.owed:9}{row.delivered:11}{row.lost:7}{row.duplicated:12}"
                             f"{row.disordered:12}{row.repeated:10}")
        told = sum(c.told_lost for c in self.fleet.subscribers)
        deaths = "cuts" if self.options.cut else "kills"
        lines.append(f"{self.kills} {deaths} ({self.kills_twice} of them within 30 ms of another, "
                     f"{self.kills_under_traffic} with messages open), {self.broker.starts} starts, "
                     f"{self.seconds:.0f} s; sessions lost: {self.sessions_lost()}; told as lost: {told}; "
                     f"retained kept: {self.retained_kept}; {self.will_figures()}; "
                     f"PUBREL of an unknown exchange: {sum(c.unknown for c in self.fleet.publishers)}; "
                     f"refused: {self.refused()}; "
                     f"abandoned by mosquitto_pub: {sum(c.abandoned for c in self.fleet.publishers)}; "
                     f"data directory: {self.bytes_read} bytes")
        return "\n".join(lines)

    def cells(self):
        """Which library met which."""
        return "\n".join([f"  {subscriber} <- {name}: {lost} lost, {twice} duplicated, {late} disordered"
                          for subscriber, name, lost, twice, late in self.checker.cells()]
                         + [f"  {subscriber} <- {name}/{number}: {'copies ' if copies != 'late' else ''}{copies}"
                            for subscriber, name, number, copies in self.checker.named()])

    def will_figures(self):
        return f"wills left: {self.wills.sent}, given: {self.wills.delivered()}"
