"""Appendix B, 4: after both attempts at a DEP key failed, is the outcome that of
the table, for users and for the service, whichever key failed in which way, and
is there one audit record if the availability key was used, and else none?
"""
import acceptance
from server import AK_TOKEN, SYSTEM, USER

table, Table = acceptance.helpers("table_6b_test", "Table")


class B04(Table):
    def test_b04_every_row_for_everyone(self):
        """R-6.4, R-6.9 to R-6.11, R-6.15, R-10.2; table 6-B. (The rows of
        a destroyed availability key and of SharePoint: checks 11 and 7.)"""
        for pair in table.PAIRS:
            for initiator in (USER, SYSTEM):
                with self.subTest(pair=pair, initiator=initiator):
                    self.setUp()
                    self.check(pair, initiator)
        with self.subTest("and the availability key itself fails"):
            self.setUp()
            self.fail_with(("TRANSIENT", "TRANSIENT"),
                           *table.rules(AK_TOKEN, "TRANSIENT"))
            for initiator in (USER, SYSTEM):
                outcome, _, records = self.ask(initiator)
                self.check_answer(outcome, table.OUTAGE)
                self.assertEqual(records, [])


if __name__ == "__main__":
    acceptance.run()
