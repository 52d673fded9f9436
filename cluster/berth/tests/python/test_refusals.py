# SPDX-License-Identifier: Apache-2.0
"""Errors, who may do what, dry runs, unknown fields, options of deletion."""
import os

import yaml
from kubernetes import client, config

from fixture import JSON, MERGE, Case, with_token


class Errors(Case):
    """Each is a Status that an ApiException carries."""

    def test_what_is_not_there(self):
        with self.refused(404, "NotFound", 'configmaps "x" not found') as told:
            self.core.read_namespaced_config_map("x", self.namespace)
        self.assertIsInstance(told.exception, client.exceptions.NotFoundException)
        self.assertEqual((told.exception.reason, told.body["details"]["kind"]), ("Not Found", "configmaps"))
        with self.refused(404, "NotFound", 'namespaces "nowhere" not found'):
            self.core.create_namespaced_config_map("nowhere", {"metadata": {"name": "c"}})
        with self.refused(404, "NotFound"):
            self.core.delete_namespaced_config_map("x", self.namespace)
        with self.assertRaises(client.exceptions.NotFoundException):
            client.BatchV1Api().list_namespaced_job(self.namespace)

    def test_what_clashes(self):
        made = self.config_map("c")
        with self.refused(409, "AlreadyExists", 'configmaps "c" already exists') as told:
            self.config_map("c")
        self.assertIsInstance(told.exception, client.exceptions.ConflictException)
        self.core.patch_namespaced_config_map("c", self.namespace, {"data": {"a": "1"}})
        with self.refused(409, "Conflict", "please apply your changes to the latest version"):
            self.core.replace_namespaced_config_map("c", self.namespace, made)
        for wrong in ({"uid": "other"}, {"resource_version": made.metadata.resource_version}):
            options = client.V1DeleteOptions(preconditions=client.V1Preconditions(**wrong))
            with self.refused(409, "Conflict"):
                self.core.delete_namespaced_config_map("c", self.namespace, body=options)

    def test_what_is_wrong_names_its_fields(self):
        with self.refused(422, "Invalid", "metadata.name") as told:
            self.config_map("Not_A_Name")
        self.assertIsInstance(told.exception, client.exceptions.UnprocessableEntityException)
        self.assertEqual([one["field"] for one in told.body["details"]["causes"]], ["metadata.name"])
        with self.refused(422, "Invalid", "spec.replicas"):
            self.deployment("d", -1)
        with self.refused(422, "Invalid", "spec.containers[0].name"):
            self.pod("p", containers=[{"name": "A B", "image": "i"}])
        self.deployment("d")
        selector = {"spec": {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}}
        with self.refused(422, "Invalid", "field is immutable"):
            self.apps.patch_namespaced_deployment("d", self.namespace, selector)

    def test_what_cannot_be_read(self):
        def send(body):
            path = f"/api/v1/namespaces/{self.namespace}/configmaps"
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            request = self.client.param_serialize("POST", path, header_params=headers, body=body, auth_settings=["BearerToken"])
            answer = self.client.call_api(*request)
            answer.read()
            self.client.response_deserialize(answer, {"4XX": "object"})

        with self.refused(400, "BadRequest"):
            send({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "c"}})
        with self.refused(400, "BadRequest"):
            send({"metadata": {"name": 7}})

    def test_server_side_apply_is_refused_in_so_many_words(self):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
        content = "application/apply-patch+yaml"
        with self.refused(415, "UnsupportedMediaType"):
            self.core.patch_namespaced_config_map("c", self.namespace, body, field_manager="m", _content_type=content)


class Rights(Case):
    """Tokens, and what their users may do."""

    def test_a_token_that_nobody_has(self):
        with self.refused(401, "Unauthorized") as told:
            client.CoreV1Api(with_token("nonsense")).list_namespace()
        self.assertIsInstance(told.exception, client.exceptions.UnauthorizedException)

    def test_a_token_of_the_file(self):
        names = client.CoreV1Api(with_token(os.environ["TOKEN"])).list_namespace().items
        self.assertIn("default", [one.metadata.name for one in names])

    def test_a_kubeconfig_with_a_token(self):
        with open(os.environ["KUBECONFIG"], encoding="utf-8") as file:
            ours = yaml.safe_load(file)
        ours["users"][0]["user"] = {"token": os.environ["TOKEN"]}
        made = client.Configuration()
        config.load_kube_config_from_dict(ours, client_configuration=made)
        self.assertIn(self.namespace, [one.metadata.name for one in client.CoreV1Api(client.ApiClient(made)).list_namespace().items])

    def test_an_account_may_do_what_a_role_says(self):
        theirs = client.CoreV1Api(self.account("robot"))
        words = f'User "system:serviceaccount:{self.namespace}:robot" cannot list resource "configmaps" in API group ""'
        with self.refused(403, "Forbidden", words) as told:
            theirs.list_namespaced_config_map(self.namespace)
        self.assertIsInstance(told.exception, client.exceptions.ForbiddenException)
        rbac = client.RbacAuthorizationV1Api()
        rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "get"]}]
        rbac.create_namespaced_role(self.namespace, {"metadata": {"name": "r"}, "rules": rules})
        binding = {
            "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": self.namespace}],
        }
        rbac.create_namespaced_role_binding(self.namespace, binding)
        self.config_map("c")
        self.assertIn("c", [one.metadata.name for one in theirs.list_namespaced_config_map(self.namespace).items])
        with self.refused(403, "Forbidden", 'cannot create resource "configmaps"'):
            theirs.create_namespaced_config_map(self.namespace, {"metadata": {"name": "d"}})
        with self.refused(403, "Forbidden"):
            theirs.list_namespaced_config_map("default")
        # Nobody gives away what they do not hold.
        with self.refused(403, "Forbidden"):
            client.RbacAuthorizationV1Api(theirs.api_client).create_namespaced_role(
                self.namespace, {"metadata": {"name": "more"}, "rules": rules}
            )
        rbac.delete_namespaced_role_binding("r", self.namespace)
        with self.refused(403, "Forbidden"):
            theirs.list_namespaced_config_map(self.namespace)
        self.core.delete_namespaced_service_account("robot", self.namespace)
        with self.refused(401, "Unauthorized"):
            theirs.list_namespaced_config_map(self.namespace)

    def test_a_token_says_for_how_long(self):
        self.core.create_namespaced_service_account(self.namespace, {"metadata": {"name": "a"}})
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=["https://example.org"], expiration_seconds=700)
        )
        made = self.core.create_namespaced_service_account_token("a", self.namespace, request)
        self.assertEqual((made.spec.expiration_seconds, made.spec.audiences), (700, ["https://example.org"]))
        self.assertTrue(made.status.expiration_timestamp)
        # It is for somebody else.
        with self.refused(401, "Unauthorized"):
            client.CoreV1Api(with_token(made.status.token)).list_namespace()

    def test_somebody_acts_as_somebody_else(self):
        ours = client.ApiClient(client.Configuration.get_default_copy())
        ours.set_default_header("Impersonate-User", "jane")
        with self.refused(403, "Forbidden", 'User "jane" cannot list resource "secrets"'):
            client.CoreV1Api(ours).list_namespaced_secret(self.namespace)
        ours.set_default_header("Impersonate-Group", "system:masters")
        client.CoreV1Api(ours).list_namespaced_secret(self.namespace)


class Writes(Case):
    """Options of writes."""

    def test_a_dry_run_leaves_no_trace(self):
        made = self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": "c"}}, dry_run="All")
        self.assertTrue(made.metadata.uid)
        with self.refused(404, "NotFound"):
            self.core.read_namespaced_config_map("c", self.namespace)
        with self.refused(422, "Invalid"):
            self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": "C"}}, dry_run="All")
        self.config_map("c", {"a": "1"})
        patched = self.core.patch_namespaced_config_map("c", self.namespace, {"data": {"a": "2"}}, dry_run="All")
        self.assertEqual(patched.data, {"a": "2"})
        self.core.delete_namespaced_config_map("c", self.namespace, dry_run="All")
        self.assertEqual(self.core.read_namespaced_config_map("c", self.namespace).data, {"a": "1"})

    def test_unknown_fields_are_told(self):
        odd, content = {"spec": {"replicaz": 3}}, MERGE
        self.deployment("d")

        def patch(**options):
            return self.apps.patch_namespaced_deployment_with_http_info("d", self.namespace, odd, _content_type=content, **options)

        _, _, headers = patch()
        self.assertEqual(headers["warning"], '299 - "unknown field \\"spec.replicaz\\""')
        self.assertNotIn("warning", patch(field_validation="Ignore")[2])
        with self.refused(422, "Invalid", 'unknown field "spec.replicaz"'):
            patch(field_validation="Strict")

    def test_names_are_generated(self):
        made = [
            self.core.create_namespaced_config_map(self.namespace, {"metadata": {"generateName": "g-"}}).metadata.name
            for _ in range(5)
        ]
        self.assertEqual(len(set(made)), 5)
        self.assertTrue(all(name.startswith("g-") and len(name) == 7 for name in made), made)

    def test_a_finalizer_holds_an_object(self):
        body = {"metadata": {"name": "c", "finalizers": ["example.org/f"]}}
        self.core.create_namespaced_config_map(self.namespace, body)
        self.core.delete_namespaced_config_map("c", self.namespace)
        held = self.core.read_namespaced_config_map("c", self.namespace)
        self.assertIsNotNone(held.metadata.deletion_timestamp)
        self.core.patch_namespaced_config_map(
            "c", self.namespace, [{"op": "remove", "path": "/metadata/finalizers/0"}], _content_type=JSON
        )
        with self.refused(404, "NotFound"):
            self.core.read_namespaced_config_map("c", self.namespace)

    def test_a_deletion_has_an_answer(self):
        self.config_map("c")
        answer = self.core.delete_namespaced_config_map("c", self.namespace, body=client.V1DeleteOptions())
        self.assert_covers({"kind": "Status", "status": "Success", "details": {"name": "c", "kind": "configmaps"}}, answer)
        # Nobody collects garbage yet: the finalizer stays until it is taken away.
        self.deployment("d")
        self.apps.delete_namespaced_deployment("d", self.namespace, propagation_policy="Orphan")
        held = self.apps.read_namespaced_deployment("d", self.namespace)
        self.assertEqual(held.metadata.finalizers, ["orphan"])
        self.apps.patch_namespaced_deployment("d", self.namespace, {"metadata": {"finalizers": None}})
        with self.refused(404, "NotFound"):
            self.apps.read_namespaced_deployment("d", self.namespace)

    def test_a_secret_is_written_in_the_clear_and_read_in_base64(self):
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
        self.assertEqual(self.core.read_namespaced_secret("s", self.namespace).data, {"a": "Yg=="})

    def test_what_is_immutable_stays(self):
        self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True})
        with self.refused(422, "Invalid", "immutable"):
            self.core.patch_namespaced_config_map("c", self.namespace, {"data": {"a": "2"}})
