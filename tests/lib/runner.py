"""Runs the tests of one folder: one process per test class, several at a time, then the classes that must be alone.

usage: run [-j PROCESSES] [-v] [-l] [PATTERN ...]     PATTERN: a part of module.Class.test
The last line is `N passed, N failed, N skipped`. Exit code 0 only without failure; with CI set in the environment
a skipped test is a failure too, unless its reason begins with `not possible here`.
"""

import argparse
import concurrent.futures
import importlib
import inspect
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback
import unittest

HERE = pathlib.Path(sys.argv[0]).resolve().parent  # the folder of the `run` that was called
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

TEST_TIMEOUT_S = 60
# The build that is tested: of build/tsan/metrinod it is `tsan`. A file of tests that has `not_under = ("tsan",)` shows nothing
# there that it does not show elsewhere: it is about the disk, or another program, and one connection at a time.
VARIANT = pathlib.Path(os.environ.get("METRINOD", "")).parent.name
CLASS_TIMEOUT_S = int(os.environ.get("CLASS_TIMEOUT_S", "240"))  # more for what runs long on purpose
LOG_TAIL = 4000


def find(patterns):
    """[(module.Class, [methods], alone)] of the tests that match."""
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        if VARIANT in getattr(module, "not_under", ()):
            continue
        for name, cls in sorted(vars(module).items()):
            if not inspect.isclass(cls) or not issubclass(cls, unittest.TestCase) or cls.__module__ != path.stem:
                continue
            if getattr(cls, "abstract", False):
                continue
            full = f"{path.stem}.{name}"
            methods = [m for m in unittest.defaultTestLoader.getTestCaseNames(cls)
                       if not patterns or any(p in f"{full}.{m}" for p in patterns)]
            if methods:
                found.append((full, methods, getattr(cls, "alone", False)))
    return found


class Result(unittest.TestResult):
    """Collects one row per test: [name, outcome, words, seconds]."""

    def __init__(self):
        super().__init__()
        self.rows, self.began, self.log_before = [], time.monotonic(), 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()
        broker = getattr(test, "broker", None)
        self.log_before = len(broker.log()) if broker else 0
        signal.alarm(getattr(test, "timeout_s", TEST_TIMEOUT_S))

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)

    def add(self, test, outcome, words=""):
        self.rows.append([test.id(), outcome, words, round(time.monotonic() - self.began, 2)])

    def add_failure(self, test, error):
        words = "".join(traceback.format_exception(*error))
        broker = getattr(test, "broker", None)
        if broker:
            words += f"--- the broker's stderr ---\n{broker.log()[self.log_before:][-LOG_TAIL:]}"
        self.add(test, "failed", words)

    def addSuccess(self, test):
        self.add(test, "passed")

    def addFailure(self, test, err):
        self.add_failure(test, err)

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err:
            self.add_failure(subtest, err)

    def addSkip(self, test, reason):
        self.add(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.add(test, "passed", "fails as expected")

    def addUnexpectedSuccess(self, test):
        self.add(test, "failed", "it does not fail any more: take the mark away")


def too_long(_signal, _frame):
    raise TimeoutError("the test took too long")


def run_class(full, methods):
    """In the child: runs and prints the rows as JSON."""
    signal.signal(signal.SIGALRM, too_long)
    # An orderly end, so that brokers and folders go when the parent gives up on this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by the runner"))
    module, name = full.split(".")
    cls = getattr(importlib.import_module(module), name)
    result = Result()
    unittest.TestSuite([unittest.TestSuite(map(cls, methods))]).run(result)
    json.dump(result.rows, sys.stdout)


def run_child(full, methods, verbose):
    child = subprocess.Popen([sys.executable, str(HERE / "run"), "--class", full, *methods], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=CLASS_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.terminate()
        out, err = child.communicate()
    if verbose:
        sys.stderr.write(err)
    try:
        return json.loads(out)
    except ValueError:
        return [[full, "failed", f"the test process ended with {child.returncode}\n{out[-LOG_TAIL:]}{err[-LOG_TAIL:]}", 0]]


def show(rows, verbose):
    for name, outcome, words, seconds in rows:
        if outcome == "failed":
            print(f"FAILED  {name} ({seconds} s)\n{words}", flush=True)
        elif verbose or outcome == "skipped":
            print(f"{outcome:7} {name} ({seconds} s) {words}", flush=True)


def main():
    if sys.argv[1:2] == ["--class"]:
        return run_class(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-j", type=int, default=2 * (os.cpu_count() or 1) + 2, help="processes at a time")
    parser.add_argument("-v", action="store_true", help="show every test, its time, and what it wrote to standard error")
    parser.add_argument("-l", action="store_true", help="list the tests")
    parser.add_argument("patterns", nargs="*")
    args = parser.parse_args()
    found = find(args.patterns)
    if args.l:
        print("\n".join(f"{full}.{method}" for full, methods, _ in found for method in methods))
        return 0
    rows = []
    with concurrent.futures.ThreadPoolExecutor(max(1, args.j)) as pool:
        together = [pool.submit(run_child, full, methods, args.v) for full, methods, alone in found if not alone]
        for future in concurrent.futures.as_completed(together):
            rows += future.result()
            show(future.result(), args.v)
    for full, methods, alone in found:
        if alone:
            part = run_child(full, methods, args.v)
            rows += part
            show(part, args.v)
    passed, failed, skipped = (sum(row[1] == outcome for row in rows) for outcome in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    unexcused = [row for row in rows if row[1] == "skipped" and not row[2].startswith("not possible here")]
    return 1 if failed or not rows or (os.environ.get("CI") and unexcused and not os.environ.get("STAND_IN")) else 0
