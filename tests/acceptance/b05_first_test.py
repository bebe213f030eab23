"""Appendix B, 5: of 10,000 calls, does each customer key come first in 47 to
53 %, is the second attempt always at the other one, and none asked twice?
"""
import acceptance

first_choice, FirstChoice = acceptance.helpers("first_choice_test",
                                               "FirstChoice")


class B05(FirstChoice):
    def test_b05_a_fair_coin_and_then_the_other_side(self):
        """R-6.5, R-6.6; and R-10.1: a tenant is told that its keys were used,
        and of no single call"""
        before = self.server.audit_end()
        first_choice.FirstChoice.test_distribution(self)
        told = [record.activity for record in self.server.audit(before)]
        self.assertLessEqual(len(told), 2, told)  # two keys
        self.assertLessEqual(set(told), {"CustomerKeyUsed"})
        self.setUp()
        first_choice.FirstChoice.test_second_is_the_other(self)


if __name__ == "__main__":
    acceptance.run()
