#!/usr/bin/python3
"""What a newcomer types next: every error of the service leads to a command
there is, with the options it has; every example of --help runs."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import unittest

from cli_test import Case, DEPS, DEP, TENANT
from scripted_server import Server

TREE = pathlib.Path(__file__).resolve().parents[3]
PURGES = "holdfast.v1.PurgeService/"
# The service says these of itself, not to a person at a command line.
NOBODYS = {"NONE", "CANCELLED", "INTERNAL"}


class AnyServer(Server):
    """Answers everything with nothing in it."""

    def answer(self, method, request):
        return self.contract.methods[method][1]()


class WordsCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pages = {}

    def listed(self):
        """The words of every command."""
        overview = self.good("--help", profile=None)
        return [line[2:].split("  ")[0] for line in
                overview.split("Commands:")[1].split("\n\n")[0].splitlines()
                if line.startswith("  ")]

    def page(self, words):
        if words not in self.pages:
            self.pages[words] = self.good(*words.split(), "--help",
                                          profile=None)
        return self.pages[words]

    def assert_there_is(self, text, listed):
        """Each "holdfast ..." of a text: the command, and its options."""
        typed = re.findall(r'"holdfast ([^"]*)"', text)
        for line in typed:
            words = line.split()
            if words[0].startswith("--"):
                continue
            for count in (2, 1):
                command = " ".join(words[:count])
                if command in listed:
                    break
            else:
                self.fail(f"there is no command of: holdfast {line}")
            for option in (w for w in words if w.startswith("--")):
                self.assertIn(f"  {option}", self.page(command), line)
        return len(typed)


class AdviceTest(WordsCase):
    def test_every_reason_leads_somewhere(self):
        table = (TREE / "server/domain/reason.h").read_text()
        table = table.split("#define REASON_TABLE(X)")[1].split("enum ")[0]
        reasons = dict(re.findall(r"X\((\w+), (\w+)\)", table))
        self.assertGreater(len(reasons), 50)
        codes = {"INVALID_ARGUMENT": 3, "NOT_FOUND": 5, "ALREADY_EXISTS": 6,
                 "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8,
                 "FAILED_PRECONDITION": 9, "ABORTED": 10, "UNIMPLEMENTED": 12,
                 "UNAVAILABLE": 14, "DATA_LOSS": 15, "UNAUTHENTICATED": 16,
                 "DEADLINE_EXCEEDED": 4}
        listed = self.listed()
        for reason, code in reasons.items():
            if reason in NOBODYS:
                continue
            with self.subTest(reason=reason):
                self.script({PURGES + "ExecutePurge": [
                    {"code": codes[code], "message": "m", "reason": reason}]})
                done = self.run_holdfast("--timeout", "1", "purge", "execute",
                                         "p-1", "--confirm")
                self.assertIn("\n  next: ", done.stderr)
                self.assert_there_is(done.stderr, listed)

    def test_every_command_named_in_advice_exists(self):
        """Those for single commands as well, which the walk above misses."""
        listed = self.listed()
        found = 0
        for name in ("advice.c", "report.c"):
            text = (TREE / "client/cli" / name).read_text()
            for literal in re.findall(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', text):
                joined = "".join(re.findall(r'"((?:[^"\\\n]|\\.)*)"', literal))
                joined = joined.replace('\\"', '"')
                if "%s" not in joined:
                    found += self.assert_there_is(joined, listed)
        self.assertGreater(found, 60)
        text = (TREE / "client/cli/advice.c").read_text()
        for look in re.findall(r'\{"[a-z ]+",\s*"([a-z]+ [a-z]+)(?: [A-Z]+)?",'
                               r'\s*"[a-z]+ [a-z]+"', text):
            self.assertIn(look, listed)

    def test_every_verb_has_its_command(self):
        listed = self.listed()
        table = (TREE / "client/cli/words.c").read_text()
        table = table.split("#define VERB_TABLE(X)")[1].split("static ")[0]
        known = dict(re.findall(r'X\((\w+), "([a-z -]+)"\)', table))
        verbs = set()
        for proto in (TREE / "proto/holdfast/v1").glob("*.proto"):
            verbs |= set(re.findall(r"^  rpc (\w+)\(", proto.read_text(),
                                    re.MULTILINE))
        self.assertEqual(set(known), verbs)
        for verb, command in known.items():
            self.assertIn(command, listed, verb)

    def refused(self, method, answer, *words):
        self.script({method: [answer]})
        done = self.run_holdfast(*words)
        self.assertEqual(len(self.calls()), 1, done.stderr)
        (self.folder / "calls.jsonl").write_text("")
        return done.stderr

    def test_a_field_is_named_by_its_option(self):
        text = "must be true: at its end nothing can be opened"
        words = ["purge", "request", "mail", "--reason", "r", "--contact", "c"]
        said = self.refused(PURGES + "RequestPurge", {
            "code": 3, "message": text, "reason": "FIELD_INVALID",
            "fields": {"confirm": text}}, *words)
        self.assertIn("--confirm must be given: at its end", said)
        self.assertIn("next: if that is what you want, type it again with "
                      "--confirm", said)
        self.assertEqual(said.count("nothing can be opened"), 1)
        said = self.refused(DEPS + "CreateDep", {
            "code": 3, "message": "m", "reason": "FIELD_INVALID",
            "fields": {"workload_identity": "a SPIFFE URI",
                       "customer_keys": "two", "dep_id": "letters"}},
            "dep", "create", "x y", "--customer-key", "a", "--customer-key",
            "b", "--workload-identity", "w")
        for line in ("  --workload-identity: a SPIFFE URI\n",
                     "  --customer-key: two\n", "  DEP: letters\n",
                     '"holdfast dep create --help"'):
            self.assertIn(line, said)

    def test_a_verb_is_told_as_a_command(self):
        message = "the keys are those it has: RefreshDep takes new versions"
        answer = {"code": 9, "message": message, "reason": "STATE_CONFLICT"}
        words = ["dep", "replace", "mail", "--customer-key", "a",
                 "--customer-key", "b"]
        said = self.refused(DEPS + "ReplaceDepKeys", answer, *words)
        self.assertIn('it has: "holdfast dep refresh" takes', said)
        self.assertIn('next: "holdfast dep get mail" shows', said)
        self.script({DEPS + "ReplaceDepKeys": [answer]})
        told = json.loads(self.run_holdfast("--json", *words).stdout)["error"]
        self.assertEqual(told["message"], message)
        self.assertIn("holdfast dep get mail", told["advice"])

    def test_what_was_typed_stands_in_the_advice(self):
        said = self.refused(PURGES + "RequestPurge", {
            "code": 9, "message": "m", "reason": "KEYS_STILL_USABLE"},
            "purge", "request", "mail", "--reason", "r", "--contact", "c",
            "--confirm")
        self.assertIn('"holdfast purge request mail --force"', said)
        said = self.refused(DEPS + "GetDep", {
            "code": 9, "message": "m", "reason": "STATE_CONFLICT"},
            "dep", "get", "x; rm -rf")
        self.assertIn('"holdfast dep get DEP"', said)

    def test_not_found_lists_what_is_missing(self):
        said = self.refused("holdfast.v1.AssignmentService/AssignMailbox", {
            "code": 5, "message": "no such DEP of type EXCHANGE_MAILBOX",
            "reason": "NOT_FOUND"}, "mailbox", "assign", "a", "--dep", "b")
        self.assertIn('"holdfast dep list"', said)
        said = self.refused("holdfast.v1.AssignmentService/AssignMailbox", {
            "code": 5, "message": "no such mailbox", "reason": "NOT_FOUND"},
            "mailbox", "assign", "a", "--dep", "b")
        self.assertIn('"holdfast mailbox list"', said)


class ExamplesTest(WordsCase):
    """Every line that --help shows as an example is one that runs."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.stop()
        cls.server = AnyServer(cls.folder)
        cls.server.start()
        cls.files()

    @classmethod
    def files(cls):
        """What the examples read."""
        for name in ("cur", "new", "tmp"):
            (cls.folder / "Maildir" / name).mkdir(parents=True)
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-out", cls.folder / "ada.key"],
            check=True, capture_output=True)
        subprocess.run(
            ["openssl", "pkey", "-in", cls.folder / "ada.key", "-pubout",
             "-out", cls.folder / "ada.pem"], check=True)
        (cls.folder / "audit.pem").write_bytes(
            (cls.folder / "ada.pem").read_bytes())
        (cls.folder / "alice.key").write_bytes(b"k" * 32)
        for name in ("alice.hfe", "old.hfe", "chunk-1.hfe", "audit.jsonl",
                     "disable.txt", "purge.txt"):
            (cls.folder / name).write_text("something\n")
        (cls.folder / "customer-a.json").write_text(json.dumps(
            {"statement": "c29tZXRoaW5n", "signature": "c29tZXRoaW5n"}))
        (cls.folder / "spool").mkdir()

    def example(self, command):
        text = self.page(command).split("Example:\n")[1].split("\n\n")[0]
        words = shlex.split(text)
        self.assertEqual(words[0], "holdfast", text)
        if ">" in words:
            words = words[:words.index(">")]
        return [word.replace("~", str(self.folder)) for word in words[1:]]

    def test_every_example_runs(self):
        ran = 0
        for command in self.listed():
            words = self.example(command)
            with self.subTest(command=command):
                self.assertIn(command, " ".join(words))
                if "--as" in words:
                    self.profile(words[words.index("--as") + 1])
                (self.folder / "calls.jsonl").write_text("")
                if command == "audit export":
                    (self.folder / "audit.jsonl").unlink()
                done = self.run_holdfast(
                    "--timeout", "5", *words, profile=None,
                    cwd=self.folder, environment={"HOME": str(self.folder)})
                self.assertNotEqual(done.returncode, 2,
                                    f"{words}: {done.stderr}")
                self.assertEqual("--as" in words, self.calls() != [],
                                 f"{words}: {done.stderr}")
                ran += 1
        self.assertGreater(ran, 80)


class ReadmeTest(ExamplesTest):
    """What README tells to type is what there is to type."""

    def blocks(self, language):
        """Of the sections that tell what to type, whole lines."""
        text = "".join(
            part for part in re.split(
                r"^(?=## )", (TREE / "README.md").read_text(),
                flags=re.MULTILINE)
            if part.startswith(("## A first real", "## How to check")))
        return re.findall(rf"^```{language}\n(.*?)^```$", text,
                          re.MULTILINE | re.DOTALL)

    def lines(self, program):
        """Its command lines; what stands in brackets may be left out."""
        for block in self.blocks("sh"):
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"\[.*?\]", "", line.split(" # ")[0])
                if line.startswith(program + " "):
                    yield shlex.split(line)[1:]

    test_every_example_runs = None

    def test_its_commands_run(self):
        lines = list(self.lines("holdfast"))
        self.assertGreater(len(lines), 15)
        for name in ("contoso-a-1.json", "bob.pem"):
            (self.folder / name).write_bytes((self.folder / (
                "customer-a.json" if name.endswith("json") else "ada.pem"
            )).read_bytes())
        for words in lines:
            with self.subTest(words=words):
                if "--as" in words:
                    self.profile(words[words.index("--as") + 1])
                for made in ("audit.jsonl",) if "export" in words else ():
                    (self.folder / made).unlink(missing_ok=True)
                (self.folder / "calls.jsonl").write_text("")
                done = self.run_holdfast("--timeout", "5", *words,
                                         profile=None, cwd=self.folder)
                self.assertNotEqual(done.returncode, 2,
                                    f"{words}: {done.stderr}")
                self.assertEqual("--as" in words, self.calls() != [],
                                 f"{words}: {done.stderr}")

    def test_its_commands_of_tokens_are_there(self):
        lines = list(self.lines("holdfast-hsm"))
        self.assertGreater(len(lines), 8)
        for words in lines:
            page = subprocess.run(
                [os.environ["HF_HOLDFAST_HSM"], *words[:2], "--help"],
                capture_output=True, text=True, check=True).stdout
            for option in (word for word in words if word.startswith("--")):
                self.assertRegex(page, rf"(?m)(^  |or ){option}\b", words)

    def test_its_configuration_is_one(self):
        """All that --check-config says of it is which files are not here."""
        (whole,) = self.blocks("yaml")
        path = self.folder / "holdfastd.yaml"
        path.write_text(whole)
        done = subprocess.run(
            [os.environ["HF_HOLDFASTD"], "--config", str(path),
             "--check-config"], capture_output=True, text=True)
        mistakes = [line for line in done.stderr.splitlines()
                    if re.match(r".*holdfastd\.yaml:\d+:", line)]
        self.assertNotEqual(mistakes, [], done.stderr)
        for line in mistakes:
            self.assertRegex(line, r"No such file|cannot be read|not there")


if __name__ == "__main__":
    unittest.main(verbosity=2)
