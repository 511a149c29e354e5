"""What a disk may hold after the power went away, from the journal that shim.c kept.

A file is pages of 4 KiB. The kernel writes a page as it is at that moment, so what the disk holds of a page is one of
the versions that the process made of it, not older than the last that was made durable. Each page has its own: nothing
orders them but a sync. A disk writes sectors of 512 bytes, each of them whole or not at all; a page that was on its way
may so be torn between two of its versions. A size and a name are as old as each other: names of a folder come back in
the order in which they were changed, up to any point after the last sync of the folder; sizes likewise.
"""

import collections
import dataclasses
import os
import pathlib
import stat
import struct

PAGE, SECTOR = 4096, 512
HEAD = struct.Struct("<BB6xQqqQ")       # note, durable, inode, offset, of, length of what follows
LOCK = "lock.mdb"                       # written through a map; LMDB relies on nothing in it after a start
TORN = 0.3                              # of the pages that did not stay at their durable version


class Fault(Exception):
    """The process did something that the shim does not see or the journal cannot keep."""


@dataclasses.dataclass
class Note:
    kind: str
    durable: bool
    inode: int
    offset: int
    of: int
    data: bytes


def notes_in(path):
    """The last note may have been cut short by the kill; and there is no journal where it came before the first note."""
    data, at, found = pathlib.Path(path).read_bytes() if pathlib.Path(path).exists() else b"", 0, []
    while at + HEAD.size <= len(data):
        kind, durable, inode, offset, of, length = HEAD.unpack_from(data, at)
        at += HEAD.size + length
        if at <= len(data):
            found.append(Note(chr(kind), bool(durable), inode, offset, of, data[at - length:at]))
    return found


class File:
    """Its pages and sizes by version: (number of the note that made it, what it is)."""

    def __init__(self, data=b""):
        self.pages = {}
        self.sizes = [(-1, len(data))]
        for at in range(0, len(data), PAGE):
            self.pages[at // PAGE] = [(-1, data[at:at + PAGE].ljust(PAGE, b"\0"))]
        self.durable_page = collections.defaultdict(int)     # index of the version
        self.durable_size = 0
        self.dirty = set()                                   # pages with versions beyond the durable one
        self.made = collections.defaultdict(list)            # number of a write -> its pages and versions

    def versions(self, page):
        return self.pages.setdefault(page, [(-1, bytes(PAGE))])

    def write(self, number, offset, data):
        for page in range(offset // PAGE, (offset + len(data) + PAGE - 1) // PAGE):
            begin = page * PAGE
            low, high = max(offset, begin), min(offset + len(data), begin + PAGE)
            whole = bytearray(self.versions(page)[-1][1])
            whole[low - begin:high - begin] = data[low - offset:high - offset]
            self.add(page, number, bytes(whole))
        if offset + len(data) > self.sizes[-1][1]:
            self.sizes.append((number, offset + len(data)))

    def add(self, page, number, content):
        self.made[number].append((page, len(self.pages[page])))
        self.pages[page].append((number, content))
        self.dirty.add(page)

    def resize(self, number, size):
        for page in [p for p in self.pages if (p + 1) * PAGE > size]:
            keep = max(0, size - page * PAGE)
            self.add(page, number, self.pages[page][-1][1][:keep].ljust(PAGE, b"\0"))
        self.sizes.append((number, size))

    def synced(self, before):
        for page in list(self.dirty):
            versions, index = self.pages[page], self.durable_page[page]
            while index + 1 < len(versions) and versions[index + 1][0] < before:
                index += 1
            self.page_is_durable(page, index)
        while self.durable_size + 1 < len(self.sizes) and self.sizes[self.durable_size + 1][0] < before:
            self.durable_size += 1

    def page_is_durable(self, page, index):
        self.durable_page[page] = max(self.durable_page[page], index)
        if self.durable_page[page] == len(self.pages[page]) - 1:
            self.dirty.discard(page)

    def wrote_through(self, number):
        """A write with O_DSYNC: its own pages, and the size if it made the file longer."""
        for page, index in self.made[number]:
            self.page_is_durable(page, index)
        for i, (made_by, _) in enumerate(self.sizes):
            if made_by == number:
                self.durable_size = max(self.durable_size, i)

    def unsynced(self):
        return sum(len(self.pages[page]) - 1 - self.durable_page[page] for page in self.dirty)

    def now(self):
        """As the process saw it."""
        return self.assemble({page: versions[-1][1] for page, versions in self.pages.items()}, self.sizes[-1][1])

    @staticmethod
    def assemble(pages, size):
        data = bytearray(size)
        for page, content in pages.items():
            part = content[:max(0, size - page * PAGE)]
            data[page * PAGE:page * PAGE + len(part)] = part
        return bytes(data)

    def after_loss(self, random, survives):
        """`survives`: how likely a page that was not synced has left memory."""
        pages = {}
        for page, versions in sorted(self.pages.items()):
            durable = self.durable_page[page]
            chosen = durable
            if len(versions) - 1 > durable and random.random() < survives:
                chosen = random.randint(durable + 1, len(versions) - 1)
            content = versions[chosen][1]
            if chosen > durable and random.random() < TORN:
                content = torn(random, versions[random.randrange(durable, chosen)][1], content)
            pages[page] = content
        index = self.durable_size
        if random.random() < survives:
            index = random.randint(index, len(self.sizes) - 1)
        return self.assemble(pages, self.sizes[index][1])


def torn(random, old, new):
    return b"".join((old, new)[random.getrandbits(1)][at:at + SECTOR] for at in range(0, PAGE, SECTOR))


class Disk:
    """The data directory as the disk holds it, over any number of starts and losses."""

    def __init__(self, folder, random):
        self.folder, self.random = pathlib.Path(folder).resolve(), random
        self.losses = self.unsynced = self.lost = self.names_undone = 0
        self.remember()

    def remember(self):
        """What is in the folder now is on the disk: before a start."""
        self.base = {path.name: (path.stat().st_ino, path.read_bytes()) for path in self.folder.iterdir()
                     if stat.S_ISREG(path.lstat().st_mode)}

    def replay(self, journal):
        files = {inode: File(data) for inode, data in self.base.values()}
        names = {name: inode for name, (inode, _) in self.base.items()}
        changes, durable_names = [], 0
        notes = notes_in(journal)
        failed = {note.of for note in notes if note.kind == "x" and note.offset < 0}
        short = {note.of: note.offset for note in notes if note.kind == "x"}
        for number, note in enumerate(notes):
            if note.kind == "w" and number not in failed:
                files.setdefault(note.inode, File()).write(number, note.offset, note.data[:short.get(number)])
            elif note.kind == "x" and note.durable:
                files[note.inode].wrote_through(note.of)
            elif note.kind == "t":
                files.setdefault(note.inode, File()).resize(number, note.offset)
            elif note.kind == "s":
                files.setdefault(note.inode, File()).synced(note.of)
            elif note.kind == "d":
                durable_names = max([durable_names] + [i + 1 for i, (at, _) in enumerate(changes) if at < note.of])
            elif note.kind in "cru":
                changes.append((number, note))
                if note.kind == "c":
                    files[note.inode] = File()
            elif note.kind == "!":
                raise Fault(note.data.decode())
        return files, names, changes, durable_names

    @staticmethod
    def rename(names, changes):
        names = dict(names)
        for _, note in changes:
            words = note.data.decode().split("\0")
            if note.kind == "c":
                names[words[0]] = note.inode
            elif note.kind == "r":
                names[words[1]] = names.pop(words[0])
            else:
                names.pop(words[0], None)
        return names

    def check_journal(self, files, names, changes, last_write):
        """What the journal makes of the folder must be what is there; else the shim does not see all writes. Where the
        process was killed in its last write, that one may be there in part."""
        for name, inode in self.rename(names, changes).items():
            path = self.folder / name
            if name == LOCK or not path.exists():
                continue
            there, expected = path.read_bytes(), files[inode].now()
            if there == expected:
                continue
            low, high = last_write.get(inode, (0, 0))
            size = max(len(there), len(expected), high)
            there, expected = there.ljust(size, b"\0"), expected.ljust(size, b"\0")
            if there[:low] != expected[:low] or there[high:] != expected[high:]:
                raise Fault(f"{name} is not what the journal says: something was written past the shim")

    @staticmethod
    def open_writes(journal):
        """{inode: (begin, end)} of the writes that were begun, and not noted as done."""
        notes, found = notes_in(journal), {}
        done = {note.of for note in notes if note.kind == "x"}
        for number, note in enumerate(notes):
            if note.kind == "w" and number not in done:
                low, high = found.get(note.inode, (note.offset, 0))
                found[note.inode] = min(low, note.offset), max(high, note.offset + len(note.data))
        return found

    def lose(self, journal):
        """The power has gone away (the process is dead): makes the folder what the disk may hold."""
        files, names, changes, durable = self.replay(journal)
        self.check_journal(files, names, changes, self.open_writes(journal))
        survives = self.random.choice((0, 0.2, 0.5, 0.8, 1))
        kept = self.random.randint(durable, len(changes)) if self.random.random() < survives else durable
        self.names_undone += len(changes) - kept
        lock = self.folder / LOCK
        lock_now = lock.read_bytes() if lock.exists() else b""
        after = {}
        for name, inode in self.rename(names, changes[:kept]).items():
            if name == LOCK:
                after[name] = self.random.choice((lock_now, bytes(len(lock_now)), files[inode].assemble({}, 0)))
                continue
            after[name] = files[inode].after_loss(self.random, survives)
            self.unsynced += files[inode].unsynced()
            self.lost += after[name] != files[inode].now()
        self.losses += 1
        self.write(after)
        self.remember()

    def write(self, after):
        for path in self.folder.iterdir():
            if stat.S_ISREG(path.lstat().st_mode) and path.name not in after:
                path.unlink()
        owner = self.folder.stat()
        for name, data in after.items():
            path = self.folder / name
            made = not path.exists()
            path.write_bytes(data)
            if made:
                path.chmod(0o600)
                os.chown(path, owner.st_uid, owner.st_gid)

    def environment(self, shim, journal, cut=0, lies=False):
        """For the process to be watched from its start on."""
        pathlib.Path(journal).unlink(missing_ok=True)
        environment = {"LD_PRELOAD": str(shim), "METRINO_POWER_DIR": str(self.folder),
                       "METRINO_POWER_LOG": str(journal)}
        if cut:
            environment["METRINO_POWER_CUT"] = str(cut)
        if lies:
            environment["METRINO_POWER_LIE"] = "1"
        return environment
