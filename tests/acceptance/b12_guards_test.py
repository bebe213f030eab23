"""Appendix B, 12: is a DEP that is assigned kept from being disabled, and a
tenant whose customer key is revoked from being offboarded?
"""
import acceptance
from server import API, PARENT

multi_workload, Tenant = acceptance.helpers("multi_workload_test",
                                            "MultiWorkload")
Dep = API.message("holdfast.v1.Dep")
Mask = API.message("google.protobuf.FieldMask")


class B12(Tenant):
    def disable(self, who, dep):
        return self.server.outcome(
            who, "UpdateDep", dep=Dep(name=dep, enabled=False),
            update_mask=Mask(paths=["enabled"]))

    def offboard(self):
        return self.server.outcome("operator", "OffboardTenant", parent=PARENT,
                                   ticket="T-1", contact="ann",
                                   reason="leaving")

    def test_b12_what_is_in_use_stays(self):
        """T3, R-9.6, R-9.8, R-9.9"""
        server = self.server
        mail = server.cli("admin", "dep", "get", "mail")["name"]
        whole = self.uid("everything")
        server.call("compliance", "AssignTenant", parent=PARENT, dep=whole)
        self.wait(multi_workload.ASSIGNED)
        for who, dep in (("admin", mail), ("compliance", whole)):
            self.assertEqual(self.disable(who, dep).code,
                             "FAILED_PRECONDITION", dep)
            self.assertTrue(server.call(who, "GetDep", name=dep).enabled)
        for key in multi_workload.OLD_KEYS:
            self.revoke([key])
            self.assertEqual(self.offboard().answer, (
                "FAILED_PRECONDITION", "CUSTOMER_KEY_DENIED"), key)
            self.assertEqual(self.assignment().state, multi_workload.ASSIGNED)
            self.permit(key)
            server.grant(key, ("system",))
        # nothing else was in the way
        self.assertEqual(self.offboard().code, "OK")
        self.wait(multi_workload.UNASSIGNED)
        self.assertEqual(self.disable("compliance", whole).code, "OK")
        server.cli("admin", "mailbox", "assign", "mail", "--none")
        self.assertEqual(self.disable("admin", mail).code, "OK")


if __name__ == "__main__":
    acceptance.run()
