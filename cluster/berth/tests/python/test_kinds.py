# SPDX-License-Identifier: Apache-2.0
"""Each kind that is built, through all verbs that it has: every answer is one that the client's models take."""
import json
import time

from kubernetes import client

from fixture import JSON, MERGE, PATIENCE, POD, STRATEGIC, TEMPLATE, Case, covers

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
SELECTOR = {"matchLabels": {"app": "a"}}
# Stands for the test's own.
NAMESPACE = "NAMESPACE"
TIME = "2026-01-02T03:04:05.000006Z"


def subject(name):
    return {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def role(kind):
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"}


# Class of the API, what its methods call the kind, what is created beside metadata, and the part that another value replaces.
NAMESPACED = [
    ("CoreV1Api", "config_map", {"data": {"a": "1"}, "binaryData": {"b": "AAE="}}, {"data": {"a": "2"}}),
    ("CoreV1Api", "secret", {"data": {"a": "MQ=="}, "type": "Opaque"}, {"data": {"a": "Mg=="}}),
    ("CoreV1Api", "service_account", {"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}),
    (
        "CoreV1Api",
        "service",
        {"spec": {"selector": {"app": "a"}, "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]}},
        {"spec": {"selector": {"app": "b"}}},
    ),
    (
        "CoreV1Api",
        "endpoints",
        {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80, "protocol": "TCP"}]}]},
        {"subsets": [{"addresses": [{"ip": "10.1.2.4"}], "ports": [{"port": 81, "protocol": "TCP"}]}]},
    ),
    (
        "CoreV1Api",
        "pod",
        {
            "spec": {
                "automountServiceAccountToken": False,
                "initContainers": [{"name": "first", "image": "image:1"}],
                "containers": [
                    {
                        "name": "one",
                        "image": "image:1",
                        "env": [{"name": "A", "value": "b"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    }
                ],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
                # With those of lost nodes, which the server would add.
                "tolerations": [
                    {"key": "k", "operator": "Exists"},
                    {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute", "tolerationSeconds": 60},
                    {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 60},
                ],
            }
        },
        {"metadata": {"annotations": {"a": "b"}}},
    ),
    (
        "CoreV1Api",
        "event",
        {"involvedObject": {"kind": "Pod", "name": "p", "namespace": NAMESPACE}, "reason": "R", "message": "m", "type": "Normal", "count": 1},
        {"count": 2},
    ),
    (
        "EventsV1Api",
        "event",
        {
            "eventTime": TIME,
            "reportingController": "example.org/c",
            "reportingInstance": "c-1",
            "action": "Did",
            "reason": "R",
            "note": "n",
            "type": "Normal",
            "regarding": {"kind": "Pod", "name": "p", "namespace": NAMESPACE},
        },
        {"series": {"count": 2, "lastObservedTime": TIME}},
    ),
    (
        "AppsV1Api",
        "deployment",
        {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE, "strategy": {"type": "Recreate"}}},
        {"spec": {"replicas": 3}},
    ),
    (
        "AppsV1Api",
        "replica_set",
        {"spec": {"replicas": 2, "selector": SELECTOR, "template": TEMPLATE}},
        {"spec": {"replicas": 3}},
    ),
    (
        "CoordinationV1Api",
        "lease",
        {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": TIME}},
        {"spec": {"holderIdentity": "b"}},
    ),
    (
        "DiscoveryV1Api",
        "endpoint_slice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": True}}], "ports": [{"port": 80}]},
        {"endpoints": [{"addresses": ["10.1.2.4"]}]},
    ),
    ("PolicyV1Api", "pod_disruption_budget", {"spec": {"minAvailable": 1, "selector": SELECTOR}}, {"spec": {"minAvailable": "50%"}}),
    ("RbacAuthorizationV1Api", "role", {"rules": RULES}, {"rules": [{**RULES[0], "verbs": ["get"]}]}),
    ("RbacAuthorizationV1Api", "role_binding", {"subjects": [subject("a")], "roleRef": role("Role")}, {"subjects": [subject("b")]}),
]
CLUSTER = [
    ("CoreV1Api", "namespace", {}, {"metadata": {"annotations": {"a": "b"}}}),
    ("CoreV1Api", "node", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}, {"spec": {"unschedulable": True}}),
    ("SchedulingV1Api", "priority_class", {"value": 7, "description": "d"}, {"description": "e"}),
    ("RbacAuthorizationV1Api", "cluster_role", {"rules": RULES}, {"rules": [{**RULES[0], "verbs": ["get"]}]}),
    (
        "RbacAuthorizationV1Api",
        "cluster_role_binding",
        {"subjects": [subject("a")], "roleRef": role("ClusterRole")},
        {"subjects": [subject("b")]},
    ),
]


def merged(onto, change):
    """A JSON merge patch, applied."""
    made = dict(onto)
    for key, value in change.items():
        made[key] = merged(made.get(key) or {}, value) if isinstance(value, dict) else value
    return made


class Kinds(Case):
    """One test for each row; see below."""

    def verbs(self, api, kind, beside, change, namespaced):
        api = getattr(client, api)()
        beside = json.loads(json.dumps(beside).replace(NAMESPACE, self.namespace))
        place = [self.namespace] if namespaced else []
        scope = "namespaced_" if namespaced else ""
        # What is of the whole cluster keeps apart from other tests by its name.
        one, two = (f"{self.namespace}-{name}" for name in ("a", "b"))

        def call(verb, *args, **options):
            return getattr(api, f"{verb}_{scope}{kind}")(*args, **options)

        def body(name):
            return {"metadata": {"name": name, "labels": {"run": self.namespace}}, **beside}

        made = call("create", *place, body(one))
        self.assert_covers(body(one), made)
        self.assertTrue(made.metadata.uid and made.metadata.resource_version and made.metadata.creation_timestamp)
        call("create", *place, body(two))
        with self.refused(409, "AlreadyExists", one):
            call("create", *place, body(one))
        read = call("read", one, *place)
        self.assertEqual(self.plain(read), self.plain(made))

        chosen = {"label_selector": f"run={self.namespace}"}
        listed = call("list", *place, **chosen)
        self.assertEqual([item.metadata.name for item in listed.items], [one, two])
        self.assertGreaterEqual(int(listed.metadata.resource_version), int(made.metadata.resource_version))
        if namespaced:
            everywhere = getattr(api, f"list_{kind}_for_all_namespaces")(**chosen)
            self.assertEqual(self.plain(everywhere.items), self.plain(listed.items))

        patches = [
            (JSON, [{"op": "add", "path": "/metadata/labels/json", "value": "1"}]),
            (MERGE, {"metadata": {"labels": {"merge": "2"}}}),
            (STRATEGIC, {"metadata": {"labels": {"strategic": "3"}}}),
        ]
        for content, patch in patches:
            patched = call("patch", one, *place, patch, _content_type=content)
        labels = {"run": self.namespace, "json": "1", "merge": "2", "strategic": "3"}
        self.assertIsNone(covers(labels, patched.metadata.labels))
        self.assertNotEqual(patched.metadata.resource_version, made.metadata.resource_version)

        wanted = merged(self.plain(patched), change)
        replaced = call("replace", one, *place, wanted)
        self.assert_covers(change, replaced)
        self.assertEqual(replaced.metadata.uid, made.metadata.uid)
        with self.refused(409, "Conflict", "the object has been modified"):
            call("replace", one, *place, wanted)
        self.assertEqual(self.plain(call("read", one, *place)), self.plain(replaced))

        call("delete", one, *place)
        if kind == "namespace":
            call("delete", two)
            return
        with self.refused(404, "NotFound", one):
            call("read", one, *place)
        call("delete_collection", *place, **chosen)
        self.assertEqual(call("list", *place, **chosen).items, [])


def add(row, namespaced):
    api, kind, beside, change = row

    def test(self):
        self.verbs(api, kind, beside, change, namespaced)

    setattr(Kinds, f"test_{kind}_of_{api}", test)


for row in NAMESPACED:
    add(row, True)
for row in CLUSTER:
    add(row, False)


class Status(Case):
    """The subresource status: it is read, patched and replaced, and takes nothing else along."""

    def check(self, api, kind, place, status, spec):
        """`spec`: what the spec would be changed in, if it could be."""

        def call(verb, *args, **options):
            return getattr(api, f"{verb}_{kind}_status")(*args, **options)

        before = call("read", *place)
        patched = call("patch", *place, {"status": status}, _content_type=MERGE)
        self.assert_covers({"status": status}, patched)
        call("replace", *place, merged(self.plain(patched), {"spec": spec}))
        after = call("read", *place)
        self.assert_covers({"status": status}, after)
        self.assertEqual(self.plain(after.spec), self.plain(before.spec))

    def test_each_kind_with_a_status(self):
        name, n = "s", self.namespace
        now = "2026-01-02T03:04:05Z"
        condition = {"type": "Ready", "status": "True", "lastTransitionTime": now, "reason": "R", "message": "m"}
        self.pod(name)
        running = {"phase": "Running", "conditions": [condition]}
        self.check(self.core, "namespaced_pod", [name, n], running, {"activeDeadlineSeconds": 5})
        self.deployment(name)
        deployment = {"replicas": 1, "observedGeneration": 1, "conditions": [{**condition, "type": "Available"}]}
        self.check(self.apps, "namespaced_deployment", [name, n], deployment, {"replicas": 9})
        spec = {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
        self.apps.create_namespaced_replica_set(n, {"metadata": {"name": name}, "spec": spec})
        self.check(self.apps, "namespaced_replica_set", [name, n], {"replicas": 1, "readyReplicas": 1}, {"replicas": 9})
        policy = client.PolicyV1Api()
        policy.create_namespaced_pod_disruption_budget(n, {"metadata": {"name": name}, "spec": {"selector": SELECTOR}})
        numbers = dict.fromkeys(["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"], 1)
        self.check(policy, "namespaced_pod_disruption_budget", [name, n], numbers, {"minAvailable": 1})
        service = {"type": "LoadBalancer", "ports": [{"port": 80}]}
        self.core.create_namespaced_service(n, {"metadata": {"name": name}, "spec": service})
        balancer = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        self.check(self.core, "namespaced_service", [name, n], balancer, {"selector": {"app": "b"}})
        self.core.create_node({"metadata": {"name": n}})
        self.addCleanup(self.core.delete_node, n)
        node = {"capacity": {"cpu": "4", "memory": "8Gi"}, "conditions": [condition]}
        self.check(self.core, "node", [n], node, {"unschedulable": True})
        self.check(self.core, "namespace", [n], {"conditions": [{**condition, "type": "Example"}]}, {"finalizers": []})


class Subresources(Case):
    """Scale, binding, eviction, tokens and ephemeral containers."""

    def test_a_deployment_and_a_replica_set_are_scaled(self):
        self.deployment("d", 1)
        spec = {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
        self.apps.create_namespaced_replica_set(self.namespace, {"metadata": {"name": "d"}, "spec": spec})
        for kind in ("deployment", "replica_set"):

            def call(verb, *args, kind=kind):
                return getattr(self.apps, f"{verb}_namespaced_{kind}_scale")("d", self.namespace, *args)

            scale = call("read")
            self.assertEqual((scale.kind, scale.spec.replicas, scale.status.selector), ("Scale", 1, "app=a"))
            scale.spec.replicas = 5
            self.assertEqual(call("replace", scale).spec.replicas, 5)
            self.assertEqual(call("patch", {"spec": {"replicas": 0}}).spec.replicas or 0, 0)
            whole = getattr(self.apps, f"read_namespaced_{kind}")("d", self.namespace)
            self.assertEqual(whole.spec.replicas, 0)
            with self.refused(422, "Invalid", "spec.replicas"):
                call("patch", {"spec": {"replicas": -1}})

    def test_a_pod_is_bound_once(self):
        self.core.create_node({"metadata": {"name": self.namespace}})
        self.addCleanup(self.core.delete_node, self.namespace)
        binding = {"metadata": {"name": "p"}, "target": {"apiVersion": "v1", "kind": "Node", "name": self.namespace}}
        self.pod("p")
        # The answer is a Status, where upstream's description names a Binding: upstream's own clients do not read it either.
        self.core.create_namespaced_pod_binding("p", self.namespace, binding, _preload_content=False).release_conn()
        self.assertEqual(self.core.read_namespaced_pod("p", self.namespace).spec.node_name, self.namespace)
        chosen = self.core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={self.namespace}")
        self.assertEqual([pod.metadata.name for pod in chosen.items], ["p"])
        with self.refused(409, "Conflict", "already assigned"):
            self.core.create_namespaced_pod_binding("p", self.namespace, binding)
        # A pod on a node ends in two steps.
        ending = self.core.delete_namespaced_pod("p", self.namespace, grace_period_seconds=30)
        self.assertIsNotNone(ending.metadata.deletion_timestamp)
        self.core.delete_namespaced_pod("p", self.namespace, grace_period_seconds=0)
        with self.refused(404, "NotFound"):
            self.core.read_namespaced_pod("p", self.namespace)

    def test_a_budget_holds_an_eviction_up(self):
        policy = client.PolicyV1Api()
        body = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": SELECTOR}}
        policy.create_namespaced_pod_disruption_budget(self.namespace, body)
        self.pod("p")
        self.core.patch_namespaced_pod_status("p", self.namespace, {"status": {"phase": "Running"}})
        eviction = {"metadata": {"name": "p"}}

        def evict():
            self.core.create_namespaced_pod_eviction("p", self.namespace, eviction, _preload_content=True)

        with self.refused(429, "TooManyRequests", "disruption budget"):
            evict()
        policy.delete_namespaced_pod_disruption_budget("b", self.namespace)
        evict()
        with self.refused(404, "NotFound"):
            self.core.read_namespaced_pod("p", self.namespace)

    def test_an_ephemeral_container_comes_to_a_pod(self):
        self.pod("p")
        patch = {"spec": {"ephemeralContainers": [{"name": "e", "image": "image:1", "targetContainerName": "one"}]}}
        self.core.patch_namespaced_pod_ephemeralcontainers("p", self.namespace, patch)
        pod = self.core.read_namespaced_pod("p", self.namespace)
        self.assertEqual([one.name for one in pod.spec.ephemeral_containers], ["e"])

    def test_containers_merge_by_their_names(self):
        two = {"spec": {"template": {"spec": {"containers": [{"name": "two", "image": "image:2"}]}}}}
        self.deployment("d")

        def names(content, patch):
            made = self.apps.patch_namespaced_deployment("d", self.namespace, patch, _content_type=content)
            return [one.name for one in made.spec.template.spec.containers]

        self.assertEqual(names(STRATEGIC, two), ["two", "one"])
        self.assertEqual(names(MERGE, two), ["two"])
        path = "/spec/template/spec/containers/0"
        self.assertEqual(names(JSON, [{"op": "replace", "path": path, "value": POD["containers"][0]}]), ["one"])
        with self.refused(422, "Invalid"):
            names(JSON, [{"op": "test", "path": path + "/name", "value": "other"}])

    def test_a_namespace_goes_with_what_it_holds(self):
        name = f"{self.namespace}-gone"
        self.core.create_namespace({"metadata": {"name": name}})
        self.core.create_namespaced_config_map(name, {"metadata": {"name": "c", "finalizers": ["example.org/held"]}})
        self.assertEqual(self.plain(self.core.delete_namespace(name))["status"]["phase"], "Terminating")
        with self.refused(403, "Forbidden", "because it is being terminated"):
            self.core.create_namespaced_config_map(name, {"metadata": {"name": "late"}})
        patch = [{"op": "remove", "path": "/metadata/finalizers"}]
        self.core.patch_namespaced_config_map("c", name, patch)
        until = time.monotonic() + PATIENCE
        while name in [one.metadata.name for one in self.core.list_namespace().items]:
            self.assertLess(time.monotonic(), until, "the namespace is still there")
            time.sleep(0.05)
