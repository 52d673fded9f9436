# SPDX-License-Identifier: Apache-2.0
"""What the server says that it has: by the typed client, and by the dynamic one, which works from it."""
import os
import tempfile

from kubernetes import client, dynamic
from kubernetes.dynamic import exceptions

from fixture import JSON, MERGE, PATIENCE, POD, Case

GROUPS = {
    "apps": client.AppsApi,
    "authentication.k8s.io": client.AuthenticationApi,
    "authorization.k8s.io": client.AuthorizationApi,
    "certificates.k8s.io": client.CertificatesApi,
    "coordination.k8s.io": client.CoordinationApi,
    "discovery.k8s.io": client.DiscoveryApi,
    "events.k8s.io": client.EventsApi,
    "networking.k8s.io": client.NetworkingApi,
    "node.k8s.io": client.NodeApi,
    "policy": client.PolicyApi,
    "rbac.authorization.k8s.io": client.RbacAuthorizationApi,
    "scheduling.k8s.io": client.SchedulingApi,
    "storage.k8s.io": client.StorageApi,
}
VERSIONS = {
    "": client.CoreV1Api,
    "apps": client.AppsV1Api,
    "authentication.k8s.io": client.AuthenticationV1Api,
    "authorization.k8s.io": client.AuthorizationV1Api,
    "certificates.k8s.io": client.CertificatesV1Api,
    "coordination.k8s.io": client.CoordinationV1Api,
    "discovery.k8s.io": client.DiscoveryV1Api,
    "events.k8s.io": client.EventsV1Api,
    "networking.k8s.io": client.NetworkingV1Api,
    "node.k8s.io": client.NodeV1Api,
    "policy": client.PolicyV1Api,
    "rbac.authorization.k8s.io": client.RbacAuthorizationV1Api,
    "scheduling.k8s.io": client.SchedulingV1Api,
    "storage.k8s.io": client.StorageV1Api,
}


class Typed(Case):
    """The pages of discovery, as models."""

    def test_the_version(self):
        code = client.VersionApi().get_code()
        self.assertEqual((code.major, code.minor), ("1", "33"))
        self.assertTrue(code.git_version.startswith("v1.33."))

    def test_groups_and_their_resources(self):
        self.assertEqual(client.CoreApi().get_api_versions().versions, ["v1"])
        groups = {one.name: one for one in client.ApisApi().get_api_versions().groups}
        self.assertEqual(set(groups), set(GROUPS))
        for name, api in GROUPS.items():
            group = api().get_api_group()
            self.assertEqual(self.plain(group.versions), self.plain(groups[name].versions))
            self.assertEqual(group.preferred_version.group_version, f"{name}/v1")
        names = {}
        for name, api in VERSIONS.items():
            resources = api().get_api_resources()
            self.assertEqual(resources.group_version, f"{name}/v1".lstrip("/"))
            names[name] = {one.name: one for one in resources.resources}
        pods = names[""]["pods"]
        self.assertEqual((pods.kind, pods.namespaced, pods.singular_name, pods.short_names), ("Pod", True, "pod", ["po"]))
        self.assertTrue({"create", "watch", "deletecollection"} <= set(pods.verbs))
        self.assertEqual(names["apps"]["deployments/scale"].kind, "Scale")
        self.assertIn("pods/eviction", names[""])

    def test_the_issuer(self):
        issuer = client.WellKnownApi().get_service_account_issuer_open_id_configuration()
        keys = client.OpenidApi().get_service_account_issuer_open_id_keyset()
        self.assertIn("jwks_uri", str(issuer))
        self.assertIn("keys", str(keys))


class Dynamic(Case):
    """Objects of which the client knows nothing but what discovery says."""

    def setUp(self):
        super().setUp()
        self.dynamic = dynamic.DynamicClient(self.client)
        self.maps = self.dynamic.resources.get(api_version="v1", kind="ConfigMap")

    def make(self, name, **data):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"d": "y"}}, "data": data}
        return self.maps.create(body=body, namespace=self.namespace)

    def test_what_is_there_is_found(self):
        self.assertEqual(self.dynamic.version["kubernetes"]["minor"], "33")
        find = self.dynamic.resources.get
        self.assertEqual(find(kind="Deployment").group_version, "apps/v1")
        self.assertEqual(find(api_version="v1", singular_name="pod").kind, "Pod")
        self.assertEqual(find(short_names=["po"], api_version="v1").kind, "Pod")
        self.assertFalse(find(api_version="v1", kind="Node").namespaced)
        self.assertEqual(find(api_version="rbac.authorization.k8s.io/v1", kind="RoleList").base_kind, "Role")
        with self.assertRaises(exceptions.ResourceNotFoundError):
            find(api_version="batch/v1", kind="Job")

    def test_every_kind_is_listed(self):
        eager = dynamic.DynamicClient(self.client, discoverer=dynamic.EagerDiscoverer)
        listed = set()
        for resource in eager.resources.search():
            if type(resource) is dynamic.Resource and "list" in resource.verbs:
                self.assertEqual(resource.get().kind, f"{resource.kind}List")
                listed.add(resource.kind)
        self.assertTrue({"Pod", "Deployment", "Lease", "EndpointSlice", "PriorityClass", "ClusterRole"} <= listed, listed)

    def test_the_cache_is_used(self):
        with tempfile.TemporaryDirectory() as folder:
            cache = os.path.join(folder, "cache")
            for _ in range(2):
                one = dynamic.DynamicClient(self.client, cache_file=cache)
                self.assertEqual(one.resources.get(api_version="apps/v1", kind="ReplicaSet").name, "replicasets")
                self.assertTrue(os.path.getsize(cache))

    def test_an_object_is_written_and_read(self):
        made = self.make("c", a="1")
        self.assertEqual((made.kind, made.data.a), ("ConfigMap", "1"))
        self.assertEqual(self.maps.get(name="c", namespace=self.namespace).to_dict(), made.to_dict())
        for content, patch in (
            (MERGE, {"data": {"m": "2"}}),
            (JSON, [{"op": "add", "path": "/data/j", "value": "3"}]),
            ("application/strategic-merge-patch+json", {"data": {"s": "4"}}),
        ):
            patched = self.maps.patch(body=patch, name="c", namespace=self.namespace, content_type=content)
        self.assertEqual(patched.data.to_dict(), {"a": "1", "m": "2", "j": "3", "s": "4"})
        body = {**patched.to_dict(), "data": {"r": "5"}}
        self.assertEqual(self.maps.replace(body=body, namespace=self.namespace).data.to_dict(), {"r": "5"})
        with self.refused(409, "Conflict", error=exceptions.ConflictError):
            self.maps.replace(body=body, namespace=self.namespace)
        self.make("d")
        page = self.maps.get(namespace=self.namespace, label_selector="d=y", limit=1)
        rest = self.maps.get(namespace=self.namespace, label_selector="d=y", limit=1, _continue=page.metadata["continue"])
        self.assertEqual([one.metadata.name for one in page.items + rest.items], ["c", "d"])
        self.assertEqual(self.maps.delete(name="c", namespace=self.namespace).status, "Success")
        with self.refused(404, "NotFound", error=exceptions.NotFoundError):
            self.maps.get(name="c", namespace=self.namespace)
        self.maps.delete(namespace=self.namespace, label_selector="d=y")
        self.assertEqual(self.maps.get(namespace=self.namespace, label_selector="d=y").items, [])

    def test_subresources(self):
        deployments = self.dynamic.resources.get(api_version="apps/v1", kind="Deployment")
        self.deployment("d")
        scale = deployments.scale.get(name="d", namespace=self.namespace)
        self.assertEqual((scale.kind, scale.spec.replicas), ("Scale", 1))
        scale = deployments.scale.patch(
            body={"spec": {"replicas": 4}}, name="d", namespace=self.namespace, content_type=MERGE
        )
        self.assertEqual(scale.spec.replicas, 4)
        pods = self.dynamic.resources.get(api_version="v1", kind="Pod")
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": POD}
        pods.create(body=body, namespace=self.namespace)
        status = pods.status.patch(
            body={"status": {"phase": "Running"}}, name="p", namespace=self.namespace, content_type=MERGE
        )
        self.assertEqual(status.status.phase, "Running")

    def test_a_list_is_created_one_by_one(self):
        lists = self.dynamic.resources.get(api_version="v1", kind="ConfigMapList")
        items = [{"metadata": {"name": name}} for name in "xy"]
        body = {"apiVersion": "v1", "kind": "ConfigMapList", "items": items}
        self.assertEqual(len(lists.create(body=body, namespace=self.namespace).items), 2)

    def test_events_come(self):
        start = self.maps.get(namespace=self.namespace).metadata.resourceVersion
        self.make("w")
        self.maps.delete(name="w", namespace=self.namespace)
        seen = []
        for event in self.maps.watch(namespace=self.namespace, name="w", resource_version=start, timeout=PATIENCE):
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 2:
                break
        self.assertEqual(seen, [("ADDED", "w"), ("DELETED", "w")])
