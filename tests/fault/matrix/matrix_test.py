"""Every function of PKCS#11 that the adapter calls, times every fault.

    matrix_test.py [--every N] [-j N] [--in-process] [-v] [FUNCTION [FAULT]]

Two SoftHSM tokens behind the fault shim, each in a worker of its own as the
daemon has them (or both in one process); the fault is armed for token A alone.
A case: A is opened under the fault and, once it is gone, again; under the
fault then an operation of every kind, each beside one of token B; the sessions
are lost under it as well; the fault goes, and everything works again. At the
end a fresh process without the shim looks whether what was acknowledged is so.

What must hold (design, "How it is proved"):
  right     an answer is right or an error
  true      an acknowledged GENERATE and DATA_CREATE is there, an acknowledged
            DESTROY and DATA_DESTROY is gone
  class     the status is the one of table 6-A for the code; an operation that
            cannot do without the function does not succeed (R-6.6, R-15.12)
  pin       a PIN that is refused was tried once
  other     token B answers, and in time
  back      token A works again soon after the fault has gone
  bounded   session objects do not pile up; the process ends when told to

Who finds a lie out (LEFT_TO_OTHERS has those that the port cannot):
  C_Encrypt of a SEAL, C_Sign      the adapter opens, and verifies, before it
                                   answers
  C_Encrypt and C_WrapKey of MINT  the service opens each copy of a new key to
                                   its commitment before it acknowledges one
  C_UnwrapKey; C_Decrypt of a root the key commitment, after every unwrap
  C_DestroyObject, object shown    the adapter, in a fresh session
  C_DestroyObject, object hidden   the verifier of a purge, a process of its own
                                   (R-15.6)
  C_Generate*, C_CreateObject      the adapter, in a fresh session
  C_Decrypt of an OPEN             the service, by the key check in the envelope
                                   (tests/integration/server/liar_test.py). The
                                   self-test refuses a token that begins so
"""

import argparse
import concurrent.futures
import os
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import actor  # noqa: E402
import faults  # noqa: E402
from actor import Actor, Dead  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("HF_SOURCE", HERE.parent.parent.parent))
FUNCTIONS_OF_THE_MODULE = set(faults.MODULE_FUNCTIONS)

SCRIPT = ["health", "find", "list", "unwrap", "commit", "forget", "unwrap_ak",
          "commit_ak", "forget_ak", "decrypt", "seal", "open", "mac", "sign",
          "mint", "remint", "generate", "generate_pair", "data_create",
          "data_list", "data_destroy", "destroy", "find_nobody"]
# once more when every session of the token has gone
AFTER_A_LOSS = ["health", "unwrap", "commit", "forget", "seal", "mac"]
BESIDE = ["seal", "open", "unwrap", "commit", "forget", "health", "find"]
# an operation that means something only after another that succeeded
FOLLOWS = {"commit": "unwrap", "forget": "unwrap", "commit_ak": "unwrap_ak",
           "forget_ak": "unwrap_ak"}
ON_OBJECTS = {"seal", "open", "commit", "commit_ak", "forget", "forget_ak"}
LEFT_TO_OTHERS = {
    ("C_Decrypt", "lie=flip"): {"decrypt", "commit", "commit_ak", "open"},
    ("C_UnwrapKey", "lie=swap"): {"commit", "commit_ak"},
    ("C_WrapKey", "lie=flip"): {"check_minted"},
    ("C_Encrypt", "lie=flip"): {"check_minted"},
    ("C_DestroyObject", "lie=hide"): {"destroy", "data_destroy"},
}
ATTEMPT_MS = 2000
SLOW_ATTEMPT_MS = 200  # where a deadline is waited for
B_LIMIT_MS = 2000
BACK_S = 30
OLD_VIEW_S = 2.1  # until the module may be initialised anew (missing.h)
OBJECTS_MAX = 4
# A token that says at its opening, in so many words, that it lacks something is
# believed until it is opened again. One that is in trouble has said nothing:
# either it is not open, or nothing is lacking afterwards.
BELIEVED = {"DENIED", "BAD_BLOB", "OURS", "LIE"}


class Case:
    verbose = False

    def __init__(self, made, function, fault, folder, workers):
        self.workers = workers
        self.function = function
        self.fault = fault
        self.place = actor.copy(made, folder)
        self.failures = []
        self.acknowledged = []
        self.before = self.place.enumerate()
        self.actor = None
        self.turn = 0
        self.processes = 0

    def tell(self, op, answer):
        if self.verbose:
            print(f"  {op:14} {answer} {answer.detail}", flush=True)

    def fail(self, what, text):
        self.failures.append(f"{what}: {text}")

    @property
    def of_module(self):
        return self.function in FUNCTIONS_OF_THE_MODULE

    @property
    def refuses_pin(self):
        return self.function == "C_Login" and self.fault.kind == "DENIED"

    def rule(self):
        token = "" if self.of_module else "token=fault-a "
        return f"{token}function={self.function} {self.fault.words}"

    def arm(self, *more):
        self.place.arm("token=fault-a function=C_Login log=1", self.rule(),
                       *more)

    def disarm(self):
        self.place.arm("token=fault-a function=C_Login log=1")

    # --- what may be answered ------------------------------------------------

    def allowed(self, op):
        statuses = {"OK"} | faults.STATUSES[self.fault.kind]
        if op in ON_OBJECTS:
            statuses.add("PRECONDITION")
        if op == "find_nobody":
            statuses |= {"NOT_FOUND", "UNCONFIRMED"}
        if self.function in ("C_Initialize", "C_Finalize"):
            statuses.add("MISUSE")  # not initialised is our own trouble
        return statuses

    def judge(self, op, answer, lost):
        """lost: the sessions of the token had gone as well."""
        self.tell(op, answer)
        allowed = self.allowed(op) | ({"UNREACHABLE"} if lost else set())
        if answer.status not in allowed:
            self.fail("class", f"{op}: {answer}")
        needs = faults.NEEDS.get(op, [])
        if (self.fault.kind == "CRASH" and answer.status == "OK" and
                self.function in needs):
            self.fail("class", f"{op} survived a crash")
        if (answer.status == "OK" and self.function in needs and
                self.fault.is_code and self.fault.kind != "HANDLE"):
            self.fail("class", f"{op} succeeded without {self.function}")
        if answer.verdict == "wrong" and not self.found_out_above(op):
            self.fail("right", f"{op}: {answer}")
        self.note(op, answer)

    def found_out_above(self, op):
        lie = (self.function, self.fault.words)
        return op in LEFT_TO_OTHERS.get(lie, ())

    def note(self, op, answer):
        if answer.status == "OK" and ":" in answer.detail and op != "load":
            self.acknowledged.append((op, answer.detail))

    # --- steps ------------------------------------------------------------

    def start(self):
        self.actor = Actor(self.place, self.processes, self.workers)
        self.processes += 1
        self.last = {}

    def check_b(self, op, answer):
        if answer is None:
            self.fail("other", f"{op} b: no answer")
        elif answer.status == "PRECONDITION" and op in ON_OBJECTS:
            # A's module was initialised anew, and B is in the same one
            again = [self.actor.do(name, "b") for name in ("lease", "unwrap")]
            if not all(one.ok for one in again) and not self.of_module:
                self.fail("other", f"{op} b: cannot be unwrapped again")
        elif not answer.ok and not self.of_module:
            self.fail("other", f"{op} b: {answer}")
        elif answer.ms > B_LIMIT_MS and not self.of_module:
            self.fail("other", f"{op} b: {answer.ms} ms")

    def beside(self, op, attempt_ms):
        """op for A, and at the same time one for B."""
        other = BESIDE[self.turn % len(BESIDE)]
        self.turn += 1
        of_a = self.actor.send(op, "a", attempt_ms)
        of_b = self.actor.send(other, "b", ATTEMPT_MS)
        answer = self.actor.wait(of_a)
        self.check_b(other, self.actor.wait(of_b))
        if answer is None:
            raise AssertionError(f"{op}: no answer")
        return answer

    def can_follow(self, op):
        return op not in FOLLOWS or self.last.get(FOLLOWS[op]) == "OK"

    def run_script(self, script, attempt_ms, lost=False):
        for op in script:
            if not self.can_follow(op):
                continue
            answer = self.beside(op, attempt_ms)
            self.last[op] = answer.status
            self.judge(op, answer, lost)

    def open_under_fault(self):
        """A is opened while its fault is there."""
        self.arm()
        if self.fault.kind == "HANG":
            number = self.actor.send("load", "a")
            answer = self.actor.wait(number, 0.4)
            self.disarm()
            if answer is None:
                answer = self.actor.wait(number)
            if answer is None:
                raise AssertionError("a hung opening does not end")
        else:
            answer = self.actor.do("load", "a")
            self.disarm()
        self.tell("load", answer)
        # a token that cannot be used is refused with whatever reason is nearest
        # (OURS is not excused: "not found" is what a silent slot looks like)
        allowed = self.allowed("load") | {"UNSUPPORTED", "NOT_FOUND",
                                          "UNREACHABLE"}
        if answer.status not in allowed:
            self.fail("class", f"load: {answer} {answer.detail}")
        return answer

    def restart(self):
        """Another process, as a worker would be replaced."""
        self.actor.end()
        self.start()
        for token in "ab":
            answer = self.load_in_time(token)
            if not answer.ok:
                self.fail("back", f"load {token} in a new process: {answer}")

    def load_in_time(self, token):
        """A worker opens itself again after a pause."""
        until = time.monotonic() + BACK_S
        while True:
            answer = self.actor.do("load", token)
            if answer.ok or time.monotonic() > until:
                return answer
            time.sleep(0.05)

    def open_phase(self):
        answer = self.open_under_fault()
        if self.refuses_pin:
            tried = self.place.logged("a", "C_Login")
            again = self.actor.do("load", "a")
            if answer.status != "DENIED" or again.status != "DENIED":
                self.fail("pin", f"load: {answer}, then {again}")
            if tried != 1 or self.place.logged("a", "C_Login") != 1:
                self.fail("pin", "a refused PIN was tried again")
            return self.restart()
        if answer.status == "OK" and self.fault.kind in BELIEVED:
            self.actor.do("close", "a")
        if answer.status != "OK" or self.fault.kind in BELIEVED:
            again = self.load_in_time("a")
            if not again.ok:
                self.fail("back", f"load: {again} {again.detail}")
                return self.restart()
        answer = self.load_in_time("b")
        if not answer.ok:
            self.fail("other", f"load b: {answer} {answer.detail}")

    def fault_phase(self):
        slow = self.fault.is_slow
        for token in "ab":
            self.actor.do("lease", token)
            self.actor.do("unwrap", token)
        if self.function in ("C_Initialize", "C_Finalize"):
            time.sleep(OLD_VIEW_S)
        self.place.log.unlink(missing_ok=True)
        attempt_ms = SLOW_ATTEMPT_MS if slow else ATTEMPT_MS
        self.arm()
        self.run_script(SCRIPT, attempt_ms)
        self.arm("token=fault-a function=C_GetSessionInfo drop=1 count=1")
        self.run_script(AFTER_A_LOSS, attempt_ms, lost=True)
        self.disarm()
        if self.refuses_pin:
            if self.place.logged("a", "C_Login") > 1:
                self.fail("pin", "a refused PIN was tried again")
            self.restart()

    def calm(self, op):
        """Without a fault. A thread that was lost in the module and comes back
        late may still end the session of a lease: unwrapped again, once."""
        answer = self.actor.do(op, "a")
        if answer.status == "PRECONDITION" and self.fault.is_slow:
            self.actor.do("lease", "a")
            self.actor.do("unwrap", "a")
            self.actor.do("unwrap_ak", "a")
            answer = self.actor.do(op, "a")
        return answer

    def come_back(self):
        until = time.monotonic() + BACK_S
        steps = ["health", "lease", "seal", "open"]
        while steps:
            answer = self.actor.do(steps[0], "a")
            if answer.ok:
                steps.pop(0)
            elif time.monotonic() > until:
                self.fail("back", f"{steps[0]}: {answer}")
                return
            elif answer.verdict == "wrong":
                self.fail("right", f"{steps[0]}: {answer}")
                return
            else:
                steps = ["health", "lease", "seal", "open"]
                time.sleep(0.02)
        answer = self.actor.do("check_minted", "a")
        if not answer.ok and not self.found_out_above("check_minted"):
            self.fail("right", f"a copy of what was minted: {answer}")
        for op in SCRIPT + ["check_minted"]:
            answer = self.calm(op)
            self.tell("calm " + op, answer)
            expected = {"NOT_FOUND", "UNCONFIRMED"} if op == "find_nobody" \
                else {"OK"}
            if answer.status not in expected or answer.verdict == "wrong":
                self.fail("back", f"{op}: {answer}")
            self.note(op, answer)
        objects = int(self.actor.do("objects", "a").detail)
        if objects > OBJECTS_MAX:
            self.fail("bounded", f"{objects} session objects")

    def close(self):
        for token in "ab":
            self.actor.do("close", token)
        code = self.actor.end()
        self.actor = None
        if code != 0:
            self.fail("bounded", f"the process ended with {code}")

    def phase(self, step):
        """A step in which the fault may be a crash: then another process."""
        try:
            step()
        except Dead as why:
            self.disarm()
            if self.fault.kind != "CRASH":
                self.fail("bounded", f"the process died: {why}")
            self.restart()

    def check_truth(self):
        seen = self.place.enumerate()
        for op, detail in self.acknowledged:
            kind, name = detail.split(":")
            there = ("a", kind, name) in seen
            making = op in ("generate", "generate_pair", "data_create")
            if there != making and not self.found_out_above(op):
                self.fail("true", f"{op} of {name} was acknowledged and is "
                                  f"{'there' if there else 'not there'}")
        lost = {entry for entry in self.before - seen
                if entry[0] == "b" or not self.is_doomed(entry)}
        if lost:
            self.fail("true", f"gone: {sorted(lost)}")

    @staticmethod
    def is_doomed(entry):
        kind, name = entry[1:]
        return name.startswith("old-") or (
            kind == "key" and name.startswith("a0") and
            20 <= int(name[2:], 16) < 40)

    def run(self):
        self.start()
        try:
            self.phase(self.open_phase)
            self.phase(self.fault_phase)
            self.come_back()
            self.close()
            self.check_truth()
        except (AssertionError, Dead) as why:
            self.fail("back", str(why) or "the process died")
        finally:
            if self.actor is not None:
                self.disarm()
                self.actor.end()
        return self.failures


def run_case(made, case, workers):
    function, fault = case
    with actor.scratch() as folder:
        began = time.monotonic()
        failures = Case(made, function, fault, folder, workers).run()
        return case, failures, time.monotonic() - began


def check_list():
    called = faults.functions_called(SOURCE)
    known = set(faults.FUNCTIONS) | faults.NOT_OF_THE_PORT
    problems = [f"{name}: called by hsm/pkcs11 and not in the matrix"
                for name in sorted(called - known)]
    return problems + [f"{name}: in the matrix and not called"
                       for name in sorted(known - called)]


def check_needs(made):
    """Without a fault everything works, and each operation does call what
    NEEDS says it cannot do without."""
    problems = []
    with actor.scratch() as folder:
        place = actor.copy(made, folder)
        one = Actor(place, workers=False)
        for op, token in [("load", "a"), ("load", "b"), ("lease", "a"),
                          ("lease", "b")]:
            one.do(op, token)
        place.arm("log=1")
        for op in SCRIPT:
            place.log.unlink(missing_ok=True)
            answer = one.do(op)
            if not answer.ok and op != "find_nobody":
                problems.append(f"{op} without a fault: {answer}")
            problems += [f"{op} does not call {function}"
                         for function in faults.NEEDS.get(op, [])
                         if place.logged("a", function) == 0]
        one.end()
    return problems


def print_table(results):
    kinds = list(faults.STATUSES)
    print(f"{'':22}" + "".join(f"{kind:>10}" for kind in kinds))
    for function in faults.FUNCTIONS:
        cells = []
        for kind in kinds:
            here = [bad for (name, fault), bad, _ in results
                    if name == function and fault.kind == kind]
            bad = sum(1 for failures in here if failures)
            cells.append(f"{len(here)}" + (f" ({bad} bad)" if bad else "")
                         if here else "-")
        print(f"{function:22}" + "".join(f"{cell:>10}" for cell in cells))


def selection(options):
    cases = [case for case in faults.all_cases()
             if (options.function in (None, case[0])) and
             (options.fault in (None, case[1].name))]
    # a step that has no common divisor with the number of faults: each function
    # and each fault has its turn
    return cases[::options.every]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("function", nargs="?")
    parser.add_argument("fault", nargs="?")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--in-process", action="store_true")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("-v", action="store_true", help="each answer of token A")
    options = parser.parse_args()
    Case.verbose = options.v
    problems = check_list()
    results = []
    begun = set()
    lock = threading.Lock()
    began = time.monotonic()
    with actor.scratch() as folder:
        made = actor.prepare(folder)
        problems += check_needs(made)
        cases = selection(options)
        with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
            for result in pool.map(lambda case: run_case(
                    made, case, not options.in_process), cases):
                (function, fault), failures, took = result
                with lock:
                    results.append(result)
                if function not in begun:
                    begun.add(function)
                    print(f"{function}, {time.monotonic() - began:.0f} s",
                          flush=True)
                for failure in failures:
                    print(f"{function} {fault.name}: {failure}", flush=True)
                if failures:
                    print(f"  alone: tests/fault/matrix/matrix_test.py "
                          f"{function} {fault.name}", flush=True)
    print_table(results)
    bad = sum(1 for _, failures, _ in results if failures)
    slowest = sorted(results, key=lambda result: -result[2])[:3]
    print("slowest: " + ", ".join(
        f"{function} {fault.name} {took:.1f} s"
        for (function, fault), _, took in slowest))
    for problem in problems:
        print(problem)
    print(f"{len(results)} cases, {bad} failed, "
          f"{time.monotonic() - began:.0f} s")
    return 1 if bad or problems or not results else 0


if __name__ == "__main__":
    sys.exit(main())
