"""Appendix B, 15: does a validation change nothing, is enabling refused without
one that passed of late, and is each request found again by its id?
"""
import acceptance

onboarding, Onboarding = acceptance.helpers("onboarding_test", "Onboarding")


class B15(Onboarding):
    def test_b15_validate_then_enable(self):
        """R-11.4, R-11.8"""
        before = self.state()
        self.refused(self.submit(onboarding.ENABLE))
        checked = self.submit(onboarding.VALIDATE).reply
        self.assertEqual((checked.validation_result,
                          checked.enablement_result), (onboarding.PASSED, 0))
        self.assertEqual(self.state(), before)
        self.server.advance(hours=25)
        self.refused(self.submit(onboarding.ENABLE))
        self.assertEqual(self.submit(onboarding.VALIDATE).code, "OK")
        enabled = self.submit(onboarding.ENABLE).reply
        self.assertEqual(enabled.enablement_result, 1)
        for request in (checked, enabled):
            self.assertEqual(self.server.call(
                "admin", "GetOnboardingRequest", name=request.name), request)


if __name__ == "__main__":
    acceptance.run()
