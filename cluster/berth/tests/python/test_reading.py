# SPDX-License-Identifier: Apache-2.0
"""Lists in pages and by selectors, watches, informers and the helpers that build on them."""
import logging
import queue
import threading

from kubernetes import client, informer, utils, watch
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from fixture import PATIENCE, TEMPLATE, Case


class Lists(Case):
    """Pages and selectors."""

    def names(self, **options):
        return [one.metadata.name for one in self.core.list_namespaced_config_map(self.namespace, **options).items]

    def test_pages_are_of_one_revision(self):
        ours = {"field_selector": "metadata.name!=kube-root-ca.crt"}
        for number in range(7):
            self.config_map(f"c{number}")
        page = self.core.list_namespaced_config_map(self.namespace, limit=3)
        first, revision = page, page.metadata.resource_version
        self.assertEqual(len(page.items), 3)
        self.assertGreaterEqual(page.metadata.remaining_item_count, 4)
        self.config_map("c3x")
        self.core.delete_namespaced_config_map("c6", self.namespace)
        seen = [one.metadata.name for one in page.items]
        while page.metadata._continue:
            page = self.core.list_namespaced_config_map(self.namespace, limit=3, _continue=page.metadata._continue)
            self.assertEqual(page.metadata.resource_version, revision)
            seen += [one.metadata.name for one in page.items]
        self.assertEqual([name for name in seen if name[0] == "c"], [f"c{number}" for number in range(7)])
        self.assertEqual(self.names(**ours), [f"c{number}" for number in range(3)] + ["c3", "c3x", "c4", "c5"])
        with self.refused(400, "BadRequest", "continue key"):
            self.core.list_namespaced_config_map(self.namespace, limit=3, _continue="nonsense")
        with self.refused(400, "BadRequest"):
            token = first.metadata._continue
            self.core.list_namespaced_config_map(self.namespace, resource_version="1", limit=3, _continue=token)

    def test_selectors_choose(self):
        for name, labels in (("a", {"x": "1", "y": "1"}), ("b", {"x": "2"}), ("c", {"y": "1"})):
            self.config_map(name, labels=labels)
        for selector, wanted in (
            ("x=1", ["a"]),
            ("x", ["a", "b"]),
            ("!x,y", ["c"]),
            ("x in (1, 2),y=1", ["a"]),
            ("x notin (1),y!=1", ["b", "kube-root-ca.crt"]),
        ):
            if "notin" in selector:
                self.wait_for_root_ca()
            self.assertEqual(self.names(label_selector=selector), wanted, selector)
        self.assertEqual(self.names(field_selector="metadata.name=b"), ["b"])
        self.assertEqual(self.names(field_selector=f"metadata.namespace={self.namespace},metadata.name=a"), ["a"])
        for name in "ab":
            self.pod(name)
        self.core.patch_namespaced_pod_status("a", self.namespace, {"status": {"phase": "Running"}})
        pods = self.core.list_namespaced_pod(self.namespace, field_selector="status.phase=Running")
        self.assertEqual([pod.metadata.name for pod in pods.items], ["a"])
        with self.refused(400, "BadRequest", '"data.a" is not a known field selector'):
            self.names(field_selector="data.a=1")
        with self.refused(400, "BadRequest"):
            self.names(label_selector="x in (")

    def wait_for_root_ca(self):
        for _ in watch.Watch().stream(
            self.core.list_namespaced_config_map,
            self.namespace,
            field_selector="metadata.name=kube-root-ca.crt",
            timeout_seconds=PATIENCE,
        ):
            return
        self.fail("the namespace has no CA")

    def test_a_revision_that_is_to_come_is_told(self):
        with self.refused(504, "Timeout", "Too large resource version"):
            self.names(resource_version="999999999", resource_version_match="NotOlderThan")
        self.assertEqual(self.names(resource_version="0", label_selector="none"), [])


class Watches(Case):
    """Events, as client-go's copies in Python see them."""

    def follow(self, wanted, **options):
        """Types and names of as many events."""
        watcher, seen = watch.Watch(), []
        options.setdefault("timeout_seconds", PATIENCE)
        options.setdefault("label_selector", "app=w")
        for event in watcher.stream(self.core.list_namespaced_config_map, self.namespace, **options):
            if event["type"] == "BOOKMARK":
                continue
            self.assertIsInstance(event["object"], client.V1ConfigMap)
            self.assertEqual(event["raw_object"]["kind"], "ConfigMap")
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == wanted:
                watcher.stop()
        return seen, watcher.resource_version

    def change(self):
        for name in "ab":
            self.config_map(name, labels={"app": "w"})
        self.core.patch_namespaced_config_map("a", self.namespace, {"data": {"a": "1"}})
        self.core.patch_namespaced_config_map("b", self.namespace, {"metadata": {"labels": {"app": None}}})
        self.core.delete_namespaced_config_map("a", self.namespace)

    CHANGES = [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b"), ("DELETED", "a")]

    def test_a_watch_goes_on_where_another_ended(self):
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        self.change()
        all_, _ = self.follow(5, resource_version=start)
        self.assertEqual(all_, self.CHANGES)
        some, revision = self.follow(2, resource_version=start)
        rest, _ = self.follow(3, resource_version=revision)
        self.assertEqual(some + rest, self.CHANGES)

    def test_events_come_while_it_watches(self):
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        got = queue.Queue()
        thread = threading.Thread(target=lambda: got.put(self.follow(5, resource_version=start)[0]), daemon=True)
        thread.start()
        self.change()
        self.assertEqual(got.get(timeout=PATIENCE), self.CHANGES)
        thread.join(PATIENCE)

    def test_a_watch_without_a_revision_begins_with_what_there_is(self):
        self.config_map("there", labels={"app": "w"})
        self.assertEqual(self.follow(1)[0], [("ADDED", "there")])
        self.assertEqual(self.follow(1, resource_version="0")[0], [("ADDED", "there")])

    def test_a_watch_ends_when_its_time_is_over(self):
        start = self.core.list_namespaced_config_map(self.namespace).metadata.resource_version
        self.assertEqual(self.follow(1, resource_version=start, timeout_seconds=1)[0], [])

    def test_a_bookmark_ends_what_was_there_at_first(self):
        self.config_map("there", labels={"app": "w"})
        options = {"send_initial_events": True, "allow_watch_bookmarks": True}
        watcher, seen = watch.Watch(), []
        for event in watcher.stream(
            self.core.list_namespaced_config_map,
            self.namespace,
            label_selector="app=w",
            resource_version_match="NotOlderThan",
            timeout_seconds=PATIENCE,
            **options,
        ):
            seen.append(event["type"])
            if event["type"] == "BOOKMARK":
                annotations = event["raw_object"]["metadata"]["annotations"]
                self.assertEqual(annotations, {"k8s.io/initial-events-end": "true"})
                break
        self.assertEqual(seen, ["ADDED", "BOOKMARK"])

    def test_a_watch_of_what_is_forgotten_is_told_so(self):
        # The server was started twice: what was before the second start is forgotten.
        with self.assertRaises(client.ApiException) as caught:
            self.follow(1, resource_version="1")
        self.assertEqual(caught.exception.status, 410)
        self.assertTrue(caught.exception.reason.startswith("Expired: too old resource version: 1 ("))


class Helpers(Case):
    """What the library builds on reads and writes."""

    def test_an_informer_keeps_up(self):
        self.config_map("first", labels={"app": "w"})
        follower = informer.SharedInformer(
            self.core.list_namespaced_config_map, namespace=self.namespace, label_selector="app=w"
        )
        seen = queue.Queue()
        for kind in ("ADDED", "MODIFIED", "DELETED"):
            follower.add_event_handler(kind, lambda one, kind=kind: seen.put((kind, one.metadata.name)))
        follower.start()
        # It says of its end that the answer was cut short, which it is.
        logging.getLogger("kubernetes.informer.informer").setLevel(logging.CRITICAL)
        self.addCleanup(follower.stop)
        self.assertEqual(seen.get(timeout=PATIENCE), ("ADDED", "first"))
        self.config_map("second", labels={"app": "w"})
        self.assertEqual(seen.get(timeout=PATIENCE), ("ADDED", "second"))
        self.core.patch_namespaced_config_map("second", self.namespace, {"data": {"a": "1"}})
        self.assertEqual(seen.get(timeout=PATIENCE), ("MODIFIED", "second"))
        self.assertEqual(follower.cache.get_by_key(f"{self.namespace}/second").data, {"a": "1"})
        self.core.delete_namespaced_config_map("first", self.namespace)
        self.assertEqual(seen.get(timeout=PATIENCE), ("DELETED", "first"))
        self.assertEqual(follower.cache.list_keys(), [f"{self.namespace}/second"])

    def test_one_of_two_leads(self):
        def candidate(identity):
            lock = LeaseLock("leader", self.namespace, identity)
            made = electionconfig.Config(
                lock, lease_duration=17, renew_deadline=15, retry_period=5, onstarted_leading=print, onstopped_leading=print
            )
            return leaderelection.LeaderElection(made)

        a, b = candidate("a"), candidate("b")
        self.assertTrue(a.try_acquire_or_renew())
        self.assertFalse(b.try_acquire_or_renew())
        self.assertTrue(a.try_acquire_or_renew())
        lease = client.CoordinationV1Api().read_namespaced_lease("leader", self.namespace)
        self.assertEqual(lease.spec.holder_identity, "a")

    def test_objects_of_a_file_are_created(self):
        objects = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "f"}, "data": {"a": "1"}},
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "f"},
                "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE},
            },
        ]
        utils.create_from_yaml(self.client, yaml_objects=objects, namespace=self.namespace)
        self.assertEqual(self.core.read_namespaced_config_map("f", self.namespace).data, {"a": "1"})
        self.assertEqual(self.apps.read_namespaced_deployment("f", self.namespace).spec.replicas, 1)
        with self.assertRaises(utils.FailToCreateError) as caught:
            utils.create_from_yaml(self.client, yaml_objects=objects, namespace=self.namespace)
        self.assertEqual([one.status for one in caught.exception.api_exceptions], [409, 409])

    def test_requests_of_many_threads_are_answered(self):
        bodies = [{"metadata": {"name": f"c{number}"}, "data": {"n": str(number)}} for number in range(50)]
        made = [self.core.create_namespaced_config_map(self.namespace, body, async_req=True) for body in bodies]
        self.assertEqual([one.get(PATIENCE).data["n"] for one in made], [str(number) for number in range(50)])
        lost = self.core.read_namespaced_config_map("nothing", self.namespace, async_req=True)
        with self.refused(404, "NotFound"):
            lost.get(PATIENCE)
