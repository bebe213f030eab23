"""Is the audit of the real service signed, so that its export, its spool, the
public key and nothing else show whether it was touched (R-15.24, N40); and is
nothing opened that could not be recorded (N41)?
"""
import json
import pathlib
import signal
import shutil
import subprocess
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from server import PARENT, Server  # noqa: E402

PATIENCE_S = 120


class Case(unittest.TestCase):
    LIMITS = {}

    def setUp(self):
        self.server = Server(limits=self.LIMITS).begin()
        self.addCleanup(self.server.stop)

    def wait_for(self, what, said):
        until = time.monotonic() + PATIENCE_S
        while not what():
            self.assertLess(time.monotonic(), until, said)
            time.sleep(0.2)

    def newest(self):
        found = self.server.call("auditor", "ListCheckpoints", parent=PARENT,
                                 page_size=1).checkpoints
        return found[0].audit_index if found else 0

    def wait_until_signed(self):
        end = self.server.audit_end()
        self.wait_for(lambda: self.newest() >= end, "no checkpoint comes")
        return end

    def export(self, name="audit.jsonl"):
        path = self.server.home / name
        made = self.server.cli("auditor", "audit", "export", str(path))
        return path, made

    def key(self):
        """The public key, fetched once, as an auditor would keep it."""
        prefix = self.server.home / "audit"
        if not prefix.with_suffix(".pem").exists():
            self.server.run(self.server.build / "client/cli/holdfast", "--as",
                            "auditor", "audit", "checkpoints", "--out", prefix)
        return prefix.with_suffix(".pem")

    def verify(self, path, *more):
        """Offline: without a profile."""
        return subprocess.run(
            [str(word) for word in (
                self.server.build / "client/cli/holdfast", "--json", "audit",
                "verify", path, "--public-key", self.key(), *more)],
            capture_output=True, text=True)

    def assert_intact(self, path, *more):
        done = self.verify(path, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def assert_broken(self, lines, text, *more):
        path = self.server.home / "touched.jsonl"
        path.write_text("".join(line + "\n" for line in lines))
        done = self.verify(path, *more)
        self.assertEqual(done.returncode, 7, done.stdout)
        self.assertIn(text, done.stdout + done.stderr)


class Audit(Case):
    def test_r15_24_signed_and_checked_offline(self):
        end = self.wait_until_signed()
        path, made = self.export()
        shown = self.assert_intact(path)
        self.assertEqual(shown["absent"], 0)
        self.assertGreaterEqual(shown["covered"], end)
        self.assertGreater(made["others"], 0)  # the service's own records
        self.assertEqual(made["checkpoints"], shown["checkpoints"])
        prefix = self.key().with_suffix("")
        subprocess.run(
            ["openssl", "dgst", "-sha256", "-verify", f"{prefix}.pem",
             "-signature", f"{prefix}.sig", f"{prefix}.txt"],
            check=True, capture_output=True)

    def test_n40_touched(self):
        end = self.wait_until_signed()
        path, _ = self.export()
        lines = path.read_text().splitlines()
        index = [json.loads(line).get("index") for line in lines]
        middle = index.index(str(end // 2))
        self.assert_broken(lines[:middle] + lines[middle + 1:],
                           f"index {end // 2} is missing")
        signed = [line for line in lines if "statement" in line
                  or int(json.loads(line)["index"]) < end]
        self.assert_broken(signed, f"index {end} is missing")
        swapped = list(lines)
        swapped[middle], swapped[middle + 1] = lines[middle + 1], lines[middle]
        self.assert_broken(swapped, "index ")

    def test_r15_24_over_a_crash(self):
        """What was signed before a crash holds after it, and what comes is
        signed again; a service that ends leaves nothing unsigned."""
        self.wait_until_signed()
        self.key()
        before, _ = self.export("before.jsonl")
        self.server.end(signal.SIGKILL)
        self.server.start()
        self.server.mailbox("later", "mail")
        self.assertEqual(self.server.end(signal.SIGTERM), 0)
        self.server.start()
        end = self.server.audit_end()
        after, _ = self.export("after.jsonl")
        shown = self.assert_intact(after, "--checkpoints", before)
        self.assertLessEqual(end - shown["covered"], 2)

    def test_r15_24_a_token_that_does_not_sign(self):
        """It is an alert, nobody waits for it, and it is made up for."""
        self.wait_until_signed()
        self.server.faults(
            "token=holdfast-service function=C_SignInit "
            "rv=CKR_DEVICE_ERROR")
        self.server.mailbox("more", "mail")
        self.wait_for(lambda: self.server.log_lines("checkpoint.failed"),
                      "no alert")
        self.assertEqual(self.server.unwrap("memo").code, "OK")
        self.server.clear()
        self.wait_until_signed()
        self.assertTrue(self.server.log_lines("checkpoint.resumed"))


class Spool(Case):
    """R-15.24: routine use, in a chain of its own."""
    LIMITS = {"spool_segment_kb": 64}
    KILLS = 3

    def setUp(self):
        super().setUp()
        self.folder = self.server.home / "state/spool"

    def records(self, folder=None):
        out = self.server.run(self.server.build / "client/cli/holdfast",
                              "audit", "spool", folder or self.folder)
        return [json.loads(line) for line in out.splitlines()]

    def use(self, count, done=None):
        """Request ids of what was answered OK."""
        done = [] if done is None else done
        for _ in range(count):
            request_id = str(uuid.uuid4())
            if self.server.unwrap("memo", request_id=request_id).code == "OK":
                done.append(request_id)
        return done

    def segments(self, folder):
        return sorted(folder.glob("*.spool"))

    def check(self, folder):
        path, _ = self.export(f"{uuid.uuid4()}.jsonl")
        return self.verify(path, "--spool", folder)

    def assert_spool_broken(self, folder, text):
        done = self.check(folder)
        self.assertEqual(done.returncode, 7, done.stdout)
        self.assertIn(text, done.stdout + done.stderr)

    def wait_until_spool_signed(self):
        last = self.records()[-1]["number"]
        path = self.server.home / "signed.jsonl"

        def signed():
            path.unlink(missing_ok=True)
            self.export("signed.jsonl")
            done = self.verify(path, "--spool", self.folder)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return json.loads(done.stdout)["spool"]["covered"] >= last
        self.wait_for(signed, "the spool's head is not signed")
        return last

    def test_r15_24_each_answer_has_its_record_over_kills(self):
        done = []
        for _ in range(self.KILLS):
            before = len(done)
            worker = threading.Thread(target=self.use, args=(400, done))
            worker.start()
            self.wait_for(lambda: len(done) >= before + 50, "no answers")
            self.server.server.send_signal(signal.SIGKILL)
            worker.join()
            self.server.end(signal.SIGKILL)
            self.server.start()
        done += self.use(3)
        self.assertGreater(len(done), 50 * self.KILLS)
        found = {record["requestId"]: record for record in self.records()}
        self.assertEqual([one for one in done if one not in found], [])
        one = found[done[-1]]
        self.assertEqual((one["method"], one["object"], one["initiator"]),
                         ("UnwrapKey", f"{PARENT}/mailboxes/memo", "USER"))
        self.assertEqual(
            oct((self.segments(self.folder)[0]).stat().st_mode & 0o777),
            "0o600")
        self.wait_until_spool_signed()

    def test_n40_spool_touched(self):
        self.use(600)  # more than two segments
        self.wait_until_spool_signed()
        self.server.end(signal.SIGTERM)
        kept = self.server.home / "kept"
        shutil.copytree(self.folder, kept)
        self.server.start()
        self.assertEqual(self.check(kept).returncode, 0)
        segments = self.segments(kept)
        self.assertGreaterEqual(len(segments), 3)

        def touched(name):
            folder = self.server.home / name
            shutil.copytree(kept, folder)
            return folder
        folder = touched("edited")
        path = self.segments(folder)[1]
        data = bytearray(path.read_bytes())
        at = data.index(b"mailboxes/memo", len(data) // 2)
        data[at + 10] ^= 1
        path.write_bytes(data)
        self.assert_spool_broken(folder, "what the service did not write")
        folder = touched("missing")
        self.segments(folder)[1].unlink()
        self.assert_spool_broken(folder, "is missing")
        folder = touched("first")
        self.segments(folder)[0].unlink()
        self.assert_spool_broken(folder, "is missing")
        folder = touched("cut")
        last = [path for path in self.segments(folder)
                if path.stat().st_size][-1]
        last.write_bytes(last.read_bytes()[:-100])
        self.assert_spool_broken(folder, "the end was cut off")
        folder = touched("cut more")
        for path in self.segments(folder)[2:]:
            path.unlink()
        self.assert_spool_broken(folder, "the end was cut off")
        # a tail that a crash tore, after what is signed, is told as one
        folder = touched("torn")
        last = [path for path in self.segments(folder)
                if path.stat().st_size][-1]
        with open(last, "ab") as file:
            file.write(b"\0\0\0\0half a record")
        done = self.check(folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout)["spool"]["torn"], 1)

    def test_n41_no_room(self):
        """N41: the sink is full: UNAVAILABLE at once, nothing is opened, and
        it goes on by itself."""
        self.use(1)
        newest = int(self.segments(self.folder)[-1].name[:16], 16)
        blocks = [self.folder / f"{newest + n:016x}.spool" for n in (1, 2)]
        for block in blocks:
            try:
                block.mkdir()  # where the next segment has to be
            except FileExistsError:
                pass
        refused = None
        for _ in range(3000):
            began = time.monotonic()
            answer = self.server.unwrap("memo")
            if answer.code != "OK":
                refused = answer
                break
        self.assertIsNotNone(refused)
        self.assertEqual(refused.answer,
                         ("UNAVAILABLE", "SERVICE_UNAVAILABLE"))
        self.assertLess(time.monotonic() - began, 2)
        self.assertIsNone(refused.key)
        self.wait_for(lambda: self.server.log_lines("spool.no_room"),
                      "the log does not say why")
        for block in blocks:
            if block.is_dir():
                block.rmdir()
        self.wait_for(lambda: self.server.unwrap("memo").code == "OK",
                      "it does not go on")
        self.wait_for(lambda: self.server.log_lines("spool.room_again"),
                      "the log does not say that there is room again")


if __name__ == "__main__":
    unittest.main()
