# SPDX-License-Identifier: Apache-2.0
"""What the tests share: the server that KUBECONFIG names, a namespace for each test, and what is refused."""
import contextlib
import json
import os
import unittest
import uuid

from kubernetes import client, config

# Seconds that a call may take before it counts as hung.
PATIENCE = 30

JSON, MERGE, STRATEGIC = (f"application/{kind}+json" for kind in ("json-patch", "merge-patch", "strategic-merge-patch"))
POD = {"containers": [{"name": "one", "image": "image:1"}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD}


def configuration():
    """The administrator's, by certificate."""
    made = client.Configuration()
    config.load_kube_config(os.environ["KUBECONFIG"], client_configuration=made)
    return made


def with_token(token):
    """A client that has nothing but a token."""
    theirs, ours = client.Configuration(), configuration()
    theirs.host, theirs.ssl_ca_cert = ours.host, ours.ssl_ca_cert
    theirs.api_key = {"authorization": f"Bearer {token}"}
    return client.ApiClient(theirs)


def covers(given, got, path=""):
    """Where what was given is not in what came back; None if it is there whole."""
    if isinstance(given, dict):
        if not isinstance(got, dict):
            return path
        found = (covers(value, got.get(key), f"{path}.{key}") for key, value in given.items())
        return next((one for one in found if one), None)
    if isinstance(given, list):
        if not isinstance(got, list) or len(got) != len(given):
            return path
        found = (covers(*pair, f"{path}[{at}]") for at, pair in enumerate(zip(given, got)))
        return next((one for one in found if one), None)
    if isinstance(given, str) and isinstance(got, str):
        # The client writes times with an offset of its own.
        got = got.replace("+00:00", "Z") if given.endswith("Z") else got
    return None if given == got else f"{path}: {given!r} became {got!r}"


class Case(unittest.TestCase):
    """A test with a client and a namespace of its own."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        config.load_kube_config(os.environ["KUBECONFIG"])
        cls.client = client.ApiClient()
        cls.core = client.CoreV1Api()
        cls.apps = client.AppsV1Api()

    def setUp(self):
        self.namespace = f"t-{uuid.uuid4().hex[:12]}"
        self.core.create_namespace({"metadata": {"name": self.namespace}})
        self.addCleanup(self.core.delete_namespace, self.namespace)

    def plain(self, model):
        """A model as the JSON that it stands for."""
        return self.client.sanitize_for_serialization(model)

    def assert_covers(self, given, model):
        self.assertIsNone(covers(given, self.plain(model)))

    @contextlib.contextmanager
    def refused(self, status, reason, words="", error=client.ApiException):
        """Expects an error of a status, whose body is a Status with a reason and words."""
        with self.assertRaises(error) as caught:
            yield caught
        told = caught.exception
        self.assertEqual(told.status, status, told.body)
        body = json.loads(told.body)
        self.assertEqual((body["kind"], body["status"], body["code"]), ("Status", "Failure", status))
        self.assertEqual(body.get("reason"), reason)
        self.assertIn(words, body["message"])
        caught.body = body

    def config_map(self, name, data=None, labels=None):
        body = {"metadata": {"name": name, "labels": labels or {}}, "data": data or {}}
        return self.core.create_namespaced_config_map(self.namespace, body)

    def pod(self, name, **spec):
        body = {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {**POD, **spec}}
        return self.core.create_namespaced_pod(self.namespace, body)

    def deployment(self, name, replicas=1):
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
        return self.apps.create_namespaced_deployment(self.namespace, {"metadata": {"name": name}, "spec": spec})

    def account(self, name):
        """A ServiceAccount's client."""
        self.core.create_namespaced_service_account(self.namespace, {"metadata": {"name": name}})
        request = {"spec": {"audiences": [], "expirationSeconds": 600}}
        made = self.core.create_namespaced_service_account_token(name, self.namespace, request)
        return with_token(made.status.token)
