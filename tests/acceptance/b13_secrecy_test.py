"""Appendix B, 13: does no token give any part of a private key away, and is an
opened DEP key in no file, log, core dump, or reply?
"""
import acceptance

secrecy, Secrecy = acceptance.helpers("secrecy_test", "Secrecy")


class B13(Secrecy):
    def test_b13_keys_stay_where_they_are(self):
        """R-2.1, R-2.11, R-2.18, R-10.9"""
        whole = secrecy.Secrecy
        for question in (
                whole.test_tokens_give_nothing, whole.test_nothing_on_disk,
                whole.test_annex_is_not_the_services,
                whole.test_nothing_in_the_audit, whole.test_no_core,
                whole.test_only_where_it_is_meant):
            with self.subTest(question.__name__):
                question(self)


if __name__ == "__main__":
    acceptance.run()
