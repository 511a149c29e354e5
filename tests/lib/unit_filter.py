"""
unit_filter.py UNIT COMMAND... - runs a command under the filter of system calls that a systemd unit asks for, and as
no other user than nobody: what systemd would do, where no systemd runs.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys

ALLOW, ERRNO_EPERM, UNKNOWN = 0x7fff0000, 0x00050000 | errno.EPERM, -1
NOBODY = 65534
PR_SET_NO_NEW_PRIVS = 38


def members(name):
    """The calls of a set, as this machine's systemd knows it; a call is a set of one."""
    if not name.startswith("@"):
        return {name}
    done = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    words = [line.strip() for line in done.stdout.splitlines()[1:]]
    return set().union(*(members(word) for word in words if word and not word.startswith("#")))


def allowed(unit):
    """systemd.exec(5): the first line says what the others add to, or take away from."""
    calls = set()
    for line in open(unit, encoding="utf-8"):
        key, _, value = line.strip().partition("=")
        if key != "SystemCallFilter":
            continue
        named = set().union(*(members(name) for name in value.lstrip("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def load(calls):
    seccomp, libc = ctypes.CDLL("libseccomp.so.2", use_errno=True), ctypes.CDLL(None, use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ERRNO_EPERM))
    for name in calls | {"execve", "execveat"}:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number != UNKNOWN:
            seccomp.seccomp_rule_add(context, ALLOW, number, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or seccomp.seccomp_load(context) != 0:
        sys.exit("the filter cannot be loaded")


def main(unit, *command):
    calls = allowed(unit)
    program = os.open(shutil.which(command[0]), os.O_PATH | os.O_CLOEXEC)  # in a folder that nobody may enter, perhaps
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    load(calls)
    os.execve(program, command, os.environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
