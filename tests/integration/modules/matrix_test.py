"""What three real modules can do, as holdfast-hsm token test finds it, and the
table of the README that is made from it.

usage: HF_BUILD=build/release tests/integration/modules/matrix_test.py [--write]

  --write  puts what the modules say into the README
"""
import json
import os
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
SOURCE = HERE.parents[3]
BUILD = pathlib.Path(os.environ.get("HF_BUILD", SOURCE / "build/release")).resolve()
sys.path.insert(0, str(HERE.parents[2] / "support"))
import modules  # noqa: E402

README = SOURCE / "README.md"
BEGIN = "<!-- modules: written by tests/integration/modules/matrix_test.py --write -->"
END = "<!-- /modules -->"
LABEL = "matrix"
WORDS = {"can": "yes", "cannot": "no", "untried": "-", "lenient": "takes it",
         "breaks": "**broken**"}
REFUSED = 3


class Asked:
    """One module, asked once."""

    def __init__(self, kind):
        with kind(BUILD / "hsm/tool/holdfast-hsm") as module:
            self.made = module.init(LABEL)
            done = module.with_pin("token", "test", "--token", LABEL, "--json")
            self.code = done.returncode
            self.said = done.stderr
            self.answer = json.loads(done.stdout)
            self.key = {
                residency: module.with_pin(
                    "key", "generate", "--token", LABEL, "--name", residency,
                    "--bits", "2048", "--residency", residency, "--json")
                for residency in ("token", "memory")}
            self.again = module.with_pin("token", "test", "--token", LABEL, "--json")
        self.name = f"{kind.name} {kind.version()}"

    def found(self, operation):
        for row in self.answer["operations"]:
            if row["operation"] == operation:
                return row["found"]
        raise KeyError(operation)

    def roles(self):
        return {row["role"]: row["serves"] for row in self.answer["roles"]}


def cell(row):
    remark = row["remark"].removeprefix("mechanism ")
    number = f" ({remark})" if row["found"] == "can" and remark else ""
    return WORDS[row["found"]] + number


def table(asked):
    """The lines between the markers."""
    lines = ["| | " + " | ".join(a.name for a in asked) + " |",
             "|---" * (len(asked) + 1) + "|"]
    for rows in zip(*(a.answer["operations"] for a in asked)):
        lines.append(f"| {rows[0]['words']} | " + " | ".join(map(cell, rows)) + " |")
    for rows in zip(*(a.answer["roles"] for a in asked)):
        lines.append(f"| **can have: {rows[0]['words']}** | " + " | ".join(
            "**yes**" if row["serves"] else "no" for row in rows) + " |")
    lines.append("| **refused, because** | " + " | ".join(
        a.answer["breaks"] or "" for a in asked) + " |")
    return "\n".join(lines)


def readme_with(text):
    whole = README.read_text()
    before, rest = whole.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


class Matrix(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.asked = [Asked(kind) for kind in modules.ALL]
        cls.softhsm, cls.tpm, cls.opencryptoki = cls.asked

    def test_the_readme_says_what_the_modules_say(self):
        self.assertEqual(README.read_text(), readme_with(table(self.asked)),
                         "renew it with --write")

    def test_softhsm_can_have_every_role(self):
        self.assertEqual(self.softhsm.code, 0, self.softhsm.said)
        self.assertTrue(all(self.softhsm.roles().values()))

    def test_a_module_without_unwrap_and_gcm_serves_memory_and_nothing_of_ours(self):
        """R-15.3: residency MEMORY needs decryption only."""
        self.assertEqual(self.tpm.code, 0, self.tpm.said)
        self.assertEqual(self.tpm.roles(), {
            "customer_key_token": False, "customer_key_memory": True,
            "availability_key": False, "service": False, "tls_key": True})
        self.assertEqual(self.tpm.key["memory"].returncode, 0,
                         self.tpm.key["memory"].stderr)
        key = json.loads(self.tpm.key["memory"].stdout)
        self.assertEqual(key["residency"], ["memory"])
        self.assertTrue(key["attributes"]["never_extractable"])

    def test_a_key_it_could_not_use_is_not_made_and_what_lacks_is_named(self):
        """R-15.13"""
        refused = self.tpm.key["token"]
        self.assertEqual(refused.returncode, REFUSED, refused.stderr)
        self.assertIn("C_UnwrapKey", refused.stderr)
        self.assertIn("AES-256-GCM", refused.stderr)

    def test_a_module_that_lies_is_refused_whole_and_says_why(self):
        """R-15.13: what is unwrapped as not extractable can be read back."""
        liar = self.opencryptoki
        self.assertEqual(liar.code, REFUSED, liar.said)
        self.assertTrue(liar.answer["refused"])
        self.assertEqual(liar.found("keeps_secret"), "breaks")
        self.assertFalse(any(liar.roles().values()))
        for attempt in (liar.made, *liar.key.values()):
            self.assertEqual(attempt.returncode, REFUSED)
            self.assertIn("can be read back", attempt.stderr)

    def test_the_table_is_the_same_when_it_is_asked_for_again(self):
        """Nothing that a run makes in the token stays to disturb the next."""
        for asked in self.asked:
            again = json.loads(asked.again.stdout)
            self.assertEqual(again["operations"], asked.answer["operations"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(readme_with(table([Asked(kind) for kind in modules.ALL])))
    else:
        unittest.main()
