"""Who may call what, on every RPC there is (N01, N02, N03).

The methods come from the descriptor set: one that is not in the tables here
fails the test. The table of roles repeats the rules; it does not read them.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import grpc
from world import API, PATHS, PEOPLE, World, uri_of  # first: finds stock
from stock import Refusal

Tenant = API.message("holdfast.v1.Tenant")
Dep = API.message("holdfast.v1.Dep")
VersionRef = API.message("holdfast.v1.KeyVersionRef")
Mask = API.message("google.protobuf.FieldMask")
Mailbox = API.message("holdfast.v1.Mailbox")

# A well-formed request for each method, about tenant {t}. Things named
# "absent" are not there. What they would change is never there either, so that
# a request that is let in ends in another refusal.
NOBODYS = "11111111-2222-4333-8444-555555555555"
REQUESTS = {
    "GetTenant": dict(name="tenants/{t}"),
    "UpdateTenant": dict(tenant=Tenant(name="tenants/{t}", etag="999"),
                         update_mask=Mask(paths=["licensed"])),
    "EnrollToken": dict(parent="tenants/{t}", token_id="absent",
                        statement=b"s", signature=b"s"),
    "BackupCatalogue": dict(parent="tenants/{t}"),
    "RebindKeys": dict(name="tenants/{t}/tokens/absent", statement=b"s",
                       signature=b"s"),
    "GetToken": dict(name="tenants/{t}/tokens/absent"),
    "ListTokens": dict(parent="tenants/{t}"),
    "RegisterCustomerKey": dict(parent="tenants/{t}", customer_key_id="k",
                                token="tenants/{t}/tokens/absent",
                                uri="pkcs11:id=%01;type=private"),
    "GetCustomerKey": dict(name="tenants/{t}/customerKeys/absent"),
    "ListCustomerKeys": dict(parent="tenants/{t}"),
    "UpdateCustomerKey": dict(name="tenants/{t}/customerKeys/absent",
                              update_mask=Mask(paths=["enabled"])),
    "GrantCustomerKey": dict(name="tenants/{t}/customerKeys/absent",
                             identity="spiffe://test.example/x",
                             permissions=[1]),
    "RevokeCustomerKey": dict(name="tenants/{t}/customerKeys/absent",
                              identity="spiffe://test.example/x"),
    "ListKeyDependants": dict(name="tenants/{t}/customerKeys/absent"),
    "SubmitOnboardingRequest": dict(
        parent="tenants/{t}", scenario=1, mode=1,
        workload_identity="spiffe://test.example/x",
        customer_keys=["tenants/{t}/customerKeys/absent",
                       "tenants/{t}/customerKeys/absent2"]),
    "GetOnboardingRequest": dict(
        name="tenants/{t}/onboardingRequests/"
             "0b9c2f1e-7a53-4d28-9a4e-6f1b2c3d4e5f"),
    "ListOnboardingRequests": dict(parent="tenants/{t}"),
    "DraftForcedChange": dict(name="tenants/{t}/customerKeys/absent",
                              change=1),
    "SoftDeleteCustomerKey": dict(name="tenants/{t}/customerKeys/absent",
                                  confirm=True),
    "RecoverCustomerKey": dict(name="tenants/{t}/customerKeys/absent"),
    "ListDeletedCustomerKeys": dict(parent="tenants/{t}"),
    "ValidateCustomerKeys": dict(
        parent="tenants/{t}",
        customer_keys=["tenants/{t}/customerKeys/absent",
                       "tenants/{t}/customerKeys/absent2"]),
    "CreateDep": dict(
        parent="tenants/{t}", dep_id="never",
        customer_keys=["tenants/{t}/customerKeys/absent",
                       "tenants/{t}/customerKeys/absent2"]),
    "GetDep": dict(name="tenants/{t}/deps/absent"),
    "ListDeps": dict(parent="tenants/{t}"),
    "ListNotices": dict(parent="tenants/{t}"),
    "UpdateDep": dict(dep=Dep(name="tenants/{t}/deps/absent"),
                      update_mask=Mask(paths=["enabled"])),
    "TestDep": dict(name="tenants/{t}/deps/absent"),
    "RewrapDep": dict(name="tenants/{t}/deps/absent"),
    "RefreshDep": dict(name="tenants/{t}/deps/absent"),
    "RollAvailabilityKey": dict(parent="tenants/{t}",
                                dep="tenants/{t}/deps/absent"),
    "RollServiceManagedKey": dict(name="tenants/{t}", validate_only=True),
    "ReplaceDepKeys": dict(
        name="tenants/{t}/deps/absent",
        customer_keys=["tenants/{t}/customerKeys/absent",
                       "tenants/{t}/customerKeys/absent2"]),
    "AssignTenant": dict(parent="tenants/{t}", dep="tenants/{t}/deps/absent"),
    "GetTenantAssignment": dict(parent="tenants/{t}"),
    "OffboardTenant": dict(parent="tenants/{t}", ticket="t", contact="c",
                           reason="r"),
    "RegisterWorkload": dict(parent="tenants/{t}",
                             workload_id="exchange-signals",
                             validate_only=True),
    "SwitchWorkload": dict(name="tenants/{t}/workloads/cloud-pcs"),
    "ReportWorkloadProgress": dict(
        name="tenants/{t}/workloads/exchange-signals"),
    "GetWorkload": dict(name="tenants/{t}/workloads/exchange-signals"),
    "ListWorkloads": dict(parent="tenants/{t}"),
    "GetOperation": dict(name="tenants/{t}/operations/absent"),
    "ListOperations": dict(parent="tenants/{t}"),
    "CancelOperation": dict(name="tenants/{t}/operations/absent"),
    "WatchOperation": dict(name="tenants/{t}/operations/absent"),
    "WaitOperation": dict(name="tenants/{t}/operations/absent"),
    "RegisterMailbox": dict(parent="tenants/{t}", mailbox_id="seen",
                            validate_only=True),
    "UpdateMailbox": dict(mailbox=Mailbox(name="tenants/{t}/mailboxes/absent"),
                          update_mask=Mask(paths=["licensed"])),
    "AssignMailbox": dict(name="tenants/{t}/mailboxes/absent"),
    "ClaimMove": dict(parent="tenants/{t}", validate_only=True),
    "CompleteMove": dict(name="tenants/{t}/mailboxes/absent", claim=NOBODYS),
    "FailMove": dict(name="tenants/{t}/mailboxes/absent", claim=NOBODYS),
    "GetMailbox": dict(name="tenants/{t}/mailboxes/absent"),
    "DeleteTenant": dict(name="tenants/{t}", reason="r", contact="c",
                         confirm=True, validate_only=True),
    "DeleteResource": dict(name="tenants/{t}/mailboxes/absent", confirm=True),
    "ListMailboxes": dict(parent="tenants/{t}"),
    "GenerateKey": dict(resource="tenants/{t}/mailboxes/absent"),
    "WrapKey": dict(resource="tenants/{t}/mailboxes/absent",
                    plaintext_key=b"k" * 32),
    "UnwrapKey": dict(resource="tenants/{t}/mailboxes/absent"),
    "RewrapKey": dict(resource="tenants/{t}/mailboxes/absent"),
    "RenewKey": dict(resource="tenants/{t}/mailboxes/absent"),
    "RetireEarlierKeys": dict(resource="tenants/{t}/mailboxes/absent",
                              confirm=True),
    "SetPurgeApprovers": dict(parent="tenants/{t}", validate_only=True),
    "ListPurgeApprovers": dict(parent="tenants/{t}"),
    "RequestPurge": dict(dep="tenants/{t}/deps/absent", reason="r",
                         contact="c", confirm=True),
    "RenewPurgeDocument": dict(name="tenants/{t}/purges/absent"),
    "CancelPurge": dict(name="tenants/{t}/purges/absent"),
    "ApprovePurge": dict(name="tenants/{t}/purges/absent", signature=b"s"),
    "ExecutePurge": dict(name="tenants/{t}/purges/absent", confirm=True),
    "PausePurge": dict(name="tenants/{t}/purges/absent"),
    "ResumePurge": dict(name="tenants/{t}/purges/absent"),
    "GetPurge": dict(name="tenants/{t}/purges/absent"),
    "ListPurges": dict(parent="tenants/{t}"),
    "GetPurgeCertificate": dict(name="tenants/{t}/purges/absent"),
    "ListAuditRecords": dict(parent="tenants/{t}"),
    "QueryAuditRecords": dict(parent="tenants/{t}"),
    "ListCheckpoints": dict(parent="tenants/{t}"),
    "TailAuditRecords": dict(parent="tenants/{t}", from_index=1),
    "RegisterGeo": dict(parent="tenants/{t}", geo_id="never",
                        primary=VersionRef(
                            customer_key="tenants/{t}/customerKeys/absent",
                            version=1),
                        secondary=VersionRef(
                            customer_key="tenants/{t}/customerKeys/absent2",
                            version=1)),
    "RollGeoKey": dict(name="tenants/{t}/geos/absent", slot=1,
                       key=VersionRef(
                           customer_key="tenants/{t}/customerKeys/absent",
                           version=1)),
    "GetGeo": dict(name="tenants/{t}/geos/absent"),
    "ListGeos": dict(parent="tenants/{t}"),
    "FlushTik": dict(name="tenants/{t}/geos/absent"),
    "RequestRecovery": dict(name="tenants/{t}/geos/absent"),
    "EnableRecovery": dict(name="tenants/{t}/geos/absent", ticket="t"),
    "ConfirmRecovery": dict(name="tenants/{t}/geos/absent"),
    "RestoreGeo": dict(name="tenants/{t}/geos/absent",
                       primary=VersionRef(
                           customer_key="tenants/{t}/customerKeys/absent",
                           version=1),
                       secondary=VersionRef(
                           customer_key="tenants/{t}/customerKeys/absent2",
                           version=1)),
    "RegisterSite": dict(parent="tenants/{t}", site_id="seen",
                         geo="tenants/{t}/geos/never", validate_only=True),
    "GetSite": dict(name="tenants/{t}/sites/absent"),
    "ListSites": dict(parent="tenants/{t}"),
    "CreateSiteKey": dict(resource="tenants/{t}/sites/absent"),
    "UnwrapSiteKey": dict(resource="tenants/{t}/sites/absent"),
    "WrapBlobKey": dict(resource="tenants/{t}/sites/absent", blob_id="b"),
    "UnwrapBlobKey": dict(resource="tenants/{t}/sites/absent", blob_id="b"),
}
# These name no tenant.
OF_THE_SERVICE = {
    "CreateTenant": dict(tenant_id="never", validate_only=True),
    "ListTenants": dict(),
    "GetAvailabilityTokens": dict(),
    "EnrollAkMirror": dict(token_id="absent", validate_only=True),
    "RetireAkMirror": dict(token_id="absent", serial="0", disposal="never",
                           validate_only=True),
}
# Who of tenant acme and of the service may call.
READERS = {"admin", "mailadmin", "sharepoint", "vault", "contributor", "looker"}
LOOKERS = {"admin", "compliance", "mailadmin", "sharepoint", "approver",
           "looker", "operator"}
WORKLOADS = {"exchange", "system"}
MAY = {
    "CreateTenant": {"operator"},
    "ListTenants": {"operator"},
    "GetAvailabilityTokens": {"operator"},
    "EnrollAkMirror": {"operator"},
    "RetireAkMirror": {"operator"},
    "GetTenant": set(PEOPLE) - {"other", "otherwork", "auditor"},
    "UpdateTenant": {"operator"},
    "EnrollToken": {"operator"},
    "BackupCatalogue": {"admin", "vault", "looker"},
    "RebindKeys": {"operator"},
    "GetToken": {"admin", "compliance", "mailadmin", "sharepoint", "vault",
                 "looker", "operator"},
    "ListTokens": {"admin", "compliance", "mailadmin", "sharepoint", "vault",
                   "looker", "operator"},
    "RegisterCustomerKey": {"admin", "vault"},
    "GetCustomerKey": READERS,
    "ListCustomerKeys": READERS,
    "UpdateCustomerKey": {"admin", "contributor"},
    "GrantCustomerKey": {"admin", "contributor"},
    "RevokeCustomerKey": {"admin", "contributor"},
    "ListKeyDependants": READERS | {"compliance"},
    "SubmitOnboardingRequest": {"admin", "mailadmin"},  # of mailbox DEPs
    "GetOnboardingRequest": {"admin", "compliance", "mailadmin", "looker",
                             "operator"},
    "ListOnboardingRequests": {"admin", "compliance", "mailadmin", "looker",
                               "operator"},
    "DraftForcedChange": {"admin", "contributor"},
    "SoftDeleteCustomerKey": {"admin", "contributor"},
    "RecoverCustomerKey": {"admin", "contributor"},
    "ListDeletedCustomerKeys": READERS,
    "ValidateCustomerKeys": {"admin", "vault"},
    "CreateDep": {"admin", "mailadmin"},  # a mailbox DEP; see test_dep_types
    "GetDep": LOOKERS,
    "ListDeps": LOOKERS,
    "ListNotices": {"admin", "looker"},
    "UpdateDep": {"admin", "compliance", "mailadmin"},
    "TestDep": {"admin", "compliance", "mailadmin", "sharepoint"},
    "RewrapDep": {"admin", "compliance", "mailadmin"},
    "RollAvailabilityKey": {"operator"},
    "RollServiceManagedKey": {"operator"},
    "RefreshDep": {"admin", "compliance", "mailadmin"},
    "ReplaceDepKeys": {"admin", "compliance", "mailadmin"},
    "AssignTenant": {"admin", "compliance"},
    "GetTenantAssignment": {"admin", "compliance", "mailadmin", "looker",
                            "operator"},
    "OffboardTenant": {"operator"},
    # of an Exchange workload; see test_each_workload_has_its_own
    "RegisterWorkload": {"admin", "compliance", "exchange", "system"},
    "SwitchWorkload": {"admin", "compliance"},
    "ReportWorkloadProgress": {"exchange", "system"},
    "GetWorkload": {"admin", "compliance", "exchange", "system", "looker",
                    "operator"},
    "ListWorkloads": {"admin", "compliance", "exchange", "system", "m365",
                      "looker", "operator"},
    "GetOperation": {"admin", "compliance", "mailadmin", "sharepoint",
                     "looker", "operator"},
    "ListOperations": {"admin", "compliance", "mailadmin", "sharepoint",
                       "looker", "operator"},
    "CancelOperation": {"admin", "compliance", "mailadmin", "sharepoint",
                        "operator"},
    "RegisterMailbox": {"admin", "mailadmin", "exchange", "system"},
    "UpdateMailbox": {"admin", "mailadmin", "exchange", "system"},
    "AssignMailbox": {"admin", "mailadmin"},
    "ClaimMove": WORKLOADS,
    "CompleteMove": WORKLOADS,
    "FailMove": WORKLOADS,
    "DeleteTenant": {"admin"},
    "DeleteResource": {"admin"},
    "GetMailbox": {"admin", "mailadmin", "exchange", "system", "looker"},
    "ListMailboxes": {"admin", "mailadmin", "looker"},
    "GenerateKey": WORKLOADS,
    "WrapKey": WORKLOADS,
    "UnwrapKey": WORKLOADS,
    "RewrapKey": WORKLOADS,
    "RenewKey": WORKLOADS,
    "RetireEarlierKeys": WORKLOADS,
    "WatchOperation": {"admin", "compliance", "mailadmin", "sharepoint",
                       "looker", "operator"},
    "WaitOperation": {"admin", "compliance", "mailadmin", "sharepoint",
                      "looker", "operator"},
    "SetPurgeApprovers": {"admin"},
    "ListPurgeApprovers": LOOKERS,
    "RequestPurge": {"admin", "mailadmin"},
    "RenewPurgeDocument": {"admin", "mailadmin"},
    "CancelPurge": {"admin", "mailadmin"},
    "ApprovePurge": {"approver"},
    "ExecutePurge": {"operator"},
    "PausePurge": {"admin", "approver"},
    "ResumePurge": {"approver"},
    "GetPurge": LOOKERS,
    "ListPurges": LOOKERS,
    "GetPurgeCertificate": LOOKERS,
    **{verb: {"admin", "sharepoint"} for verb in (
        "RegisterGeo", "RollGeoKey", "FlushTik", "RequestRecovery",
        "RestoreGeo")},
    **{verb: {"operator"} for verb in ("EnableRecovery", "ConfirmRecovery")},
    "GetGeo": {"admin", "sharepoint", "looker", "operator"},
    "ListGeos": {"admin", "sharepoint", "looker", "operator"},
    "RegisterSite": {"admin", "sharepoint", "files"},
    "GetSite": {"admin", "sharepoint", "files", "looker"},
    "ListSites": {"admin", "sharepoint", "looker"},
    **{verb: {"files", "system"} for verb in (
        "CreateSiteKey", "UnwrapSiteKey", "WrapBlobKey", "UnwrapBlobKey")},
    "ListAuditRecords": {"admin", "looker"},
    "QueryAuditRecords": {"admin", "looker"},
    "ListCheckpoints": {"admin", "looker"},
    "TailAuditRecords": {"admin", "looker"},
}


def filled(value, tenant):
    """The request with the tenant's name in it."""
    if isinstance(value, str):
        return value.replace("{t}", tenant)
    if isinstance(value, list):
        return [filled(one, tenant) for one in value]
    if isinstance(value, VersionRef):
        return VersionRef(customer_key=filled(value.customer_key, tenant),
                          version=value.version)
    if isinstance(value, (Tenant, Dep, Mailbox)):
        copy = type(value)()
        copy.CopyFrom(value)
        copy.name = filled(copy.name, tenant)
        return copy
    return value


def request_for(method, tenant):
    fields = REQUESTS.get(method, OF_THE_SERVICE.get(method))
    return {name: filled(value, tenant) for name, value in fields.items()}


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World().start().main_job()

    @classmethod
    def tearDownClass(cls):
        try:
            assert cls.world.stop() == 0
        finally:
            cls.world.remove()

    def outcome(self, who, method, tenant):
        """(code, reason, the raw details) of a call."""
        try:
            reply = self.world.call(who, method, **request_for(method, tenant))
            if hasattr(reply, "__next__"):  # let in, or refused
                next(reply, None)
                reply.cancel()
            return ("OK", "NONE", None)
        except grpc.RpcError as error:
            refusal = Refusal(API, error)
            return (refusal.code, refusal.reason, refusal.raw)

    def test_every_method_is_here(self):
        methods = set(PATHS)
        self.assertEqual(methods, set(REQUESTS) | set(OF_THE_SERVICE))
        self.assertEqual(methods, set(MAY))

    def test_n01_another_tenant(self):
        """Callers of zeta naming acme: as if acme were not there."""
        for who in ("other", "otherwork"):
            for method in sorted(REQUESTS):
                theirs = self.outcome(who, method, "acme")
                absent = self.outcome(who, method, "nobody")
                self.assertEqual(theirs[:2], ("NOT_FOUND", "NOT_FOUND"),
                                 (who, method))
                self.assertEqual(theirs, absent, (who, method))

    def test_n02_another_tenants_thing(self):
        """zeta's own namespace with ids of acme's things: like missing."""
        world = self.world
        for method, field, thing in (
                ("GetDep", "name", "deps/" + world.dep.uid),
                ("GetCustomerKey", "name", "customerKeys/one"),
                ("GetToken", "name", "tokens/first"),
                ("GetMailbox", "name", "mailboxes/alice@acme.example")):
            theirs = world.refused("other", method,
                                   **{field: "tenants/zeta/" + thing})
            absent = world.refused("other", method, **{
                field: "tenants/zeta/" + thing[:-1] + "0"})
            self.assertEqual((theirs.code, theirs.reason),
                             ("NOT_FOUND", "NOT_FOUND"), method)
            self.assertEqual(
                theirs.text.replace(thing.split("/")[1], ""),
                absent.text.replace(thing.split("/")[1][:-1] + "0", ""))
        refusal = world.refused("otherwork", "UnwrapKey",
                                resource="tenants/zeta/mailboxes/"
                                "alice@acme.example",
                                wrapped_key=world.wrapped)
        self.assertEqual(refusal.code, "NOT_FOUND")

    def test_n06_another_tenants_token(self):
        """Registering a key in acme's token, by its URI, for zeta."""
        refusal = self.world.refused(
            "other", "RegisterCustomerKey", parent="tenants/zeta",
            customer_key_id="mine", token="tenants/zeta/tokens/first",
            uri="pkcs11:token=first;id=%01;type=private")
        self.assertEqual(refusal.code, "NOT_FOUND")

    def test_n03_roles(self):
        """Everybody on everything."""
        people = [who for who in PEOPLE if who not in ("other", "otherwork")]
        for method in sorted(MAY):
            for who in people:
                code, reason, _ = self.outcome(who, method, "acme")
                refused = (code, reason) == ("PERMISSION_DENIED",
                                             "ROLE_REQUIRED")
                # the service's own people have no tenant: what is not theirs
                # may look absent
                if who in ("operator", "auditor") and code == "NOT_FOUND" \
                        and who not in MAY[method]:
                    refused = True
                self.assertEqual(refused, who not in MAY[method],
                                 (method, who, code, reason))

    def test_a_role_that_lacks_is_named(self):
        refusal = self.world.refused("admin", "CreateTenant", tenant_id="new")
        self.assertEqual(refusal.reason, "ROLE_REQUIRED")
        self.assertRegex(refusal.text, "; it is for operator$")

    def test_dep_types(self):
        """R-1.9: each administrator has the DEPs of one type."""
        fields = dict(REQUESTS["CreateDep"])
        for kind, may in ((1, {"admin", "mailadmin"}),
                          (2, {"admin", "compliance"})):
            for who in ("admin", "mailadmin", "compliance"):
                refusal = self.world.refused(
                    who, "CreateDep", type=kind,
                    **{name: filled(value, "acme")
                       for name, value in fields.items()})
                self.assertEqual(refusal.reason == "ROLE_REQUIRED",
                                 who not in may, (kind, who, refusal))
        refusal = self.world.refused(
            "compliance", "TestDep", name="tenants/acme/deps/"
            + self.world.dep.uid)
        self.assertEqual(refusal.reason, "ROLE_REQUIRED")

    def test_what_no_verb_does(self):
        """R-3.12: a DEP is not deleted. R-6.3: nobody asks for the
        availability key."""
        self.assertEqual([name for name in PATHS if "Delete" in name
                          and "Dep" in name], [])
        for method in ("GenerateKey", "WrapKey", "UnwrapKey", "RewrapKey"):
            request = API.request(PATHS[method])
            fields = [*request.DESCRIPTOR.fields, *API.message(
                "holdfast.v1.AccessContext").DESCRIPTOR.fields]
            self.assertLessEqual(
                {field.name for field in fields},
                {"resource", "wrapped_key", "plaintext_key", "access",
                 "initiator", "system_purpose", "workload", "request_id"})
        refusal = self.world.refused("admin", "GetDep",
                                     name="tenants/acme/deps/absent")
        self.assertEqual(refusal.code, "NOT_FOUND")  # and no list

    def test_each_workload_has_its_own(self):
        """R-1.11, N12: the keys of a workload are its identity's alone."""
        self.assertEqual(self.world.call(
            "m365", "RegisterWorkload", parent="tenants/acme",
            workload_id="teams-chat").registered, True)
        for word, may, refused in (
                ("teams-chat", "m365", "exchange"),
                ("exchange-signals", "exchange", "m365")):
            name = "tenants/acme/workloads/" + word
            for method in ("GenerateKey", "UnwrapKey", "RewrapKey"):
                refusal = self.world.refused(refused, method, resource=name)
                self.assertEqual(refusal.reason, "ROLE_REQUIRED",
                                 (method, word))
            for method in ("GetWorkload", "ReportWorkloadProgress"):
                refusal = self.world.refused(refused, method, name=name)
                self.assertEqual(refusal.reason, "ROLE_REQUIRED",
                                 (method, word))
            self.assertEqual(self.world.call(may, "GetWorkload",
                                             name=name).name, name)

    def test_system_needs_the_role(self):
        """R-6.2: refused, not downgraded."""
        system = API.message("holdfast.v1.AccessContext")(
            initiator=2, system_purpose=1)
        refusal = self.world.refused("exchange", "UnwrapKey",
                                     resource=self.world.box, access=system)
        self.assertEqual((refusal.code, refusal.reason),
                         ("PERMISSION_DENIED", "SYSTEM_NOT_ALLOWED"))
        reply = self.world.call("system", "UnwrapKey", resource=self.world.box,
                                access=system)
        self.assertEqual(reply.plaintext_key, self.world.plaintext)

    def test_n05_metadata(self):
        """What a call says of itself counts for nothing."""
        stub = API.stub(self.world.channel("other"), PATHS["GetTenant"])
        for key in ("x-spiffe-id", "authorization", "tenant",
                    "x-forwarded-client-cert"):
            with self.assertRaises(grpc.RpcError) as caught:
                stub(API.request(PATHS["GetTenant"], name="tenants/acme"),
                     metadata=[(key, uri_of("admin"))], timeout=5)
            self.assertEqual(caught.exception.code().name, "NOT_FOUND")

    def test_reflection_alone_is_enough(self):
        """A client without any file: list, fetch, call."""
        from google.protobuf import descriptor_pb2
        from stock import Api
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        channel = self.world.channel("exchange")
        Request = API.message("grpc.reflection.v1.ServerReflectionRequest")
        reply = next(API.stub(channel, path)(iter([Request(
            file_containing_symbol="holdfast.v1.KeyService.UnwrapKey")]),
            timeout=10))
        files = [descriptor_pb2.FileDescriptorProto.FromString(raw) for raw in
                 reply.file_descriptor_response.file_descriptor_proto]
        ordered = []
        while files:
            known = {f.name for f in ordered}
            ordered += [f for f in files if set(f.dependency) <= known]
            files = [f for f in files if f not in ordered]
        api = Api(files=ordered)
        reply = api.call(channel, PATHS["UnwrapKey"], resource=self.world.box)
        self.assertEqual(reply.plaintext_key, self.world.plaintext)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[1:])
