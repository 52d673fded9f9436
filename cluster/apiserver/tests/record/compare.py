#!/usr/bin/env python3
"""Replays the recorded scenarios of the kinds that a server has, and holds what differs against docs/differences.md.

compare.py URL SCENARIOS.jsonl.gz DIFFERENCES.md, with TOKEN and OPTS as replay.py takes them. Exit status 1 if a scenario differs that
is not in the list, or if one of the list does not differ any more.
"""
import gzip
import json
import re
import sys

import replay

# Paths of these names are asked for to see what is said of a resource that is not there.
NOWHERE = {"foo", "x"}


def served(client):
    """Group, version and plural of all that the server has."""

    def get(path):
        return json.loads(client.do("GET", path, None, None)[2])

    all_ = {("", "v1", one["name"]) for one in get("/api/v1")["resources"]}
    for group in get("/apis")["groups"]:
        for version in group["versions"]:
            resources = get("/apis/" + version["groupVersion"])["resources"]
            all_ |= {(group["name"], version["version"], one["name"]) for one in resources}
    return all_


def resource(path):
    """Group, version and plural of a path; none if it is no resource's."""
    parts = path.split("?")[0].strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if rest[:1] == ["watch"]:
        rest = rest[1:]
    if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    return group, version, rest[0]


def concerns(scenario, kinds):
    """Whether the server has all kinds of a scenario."""
    wanted = (resource(step["request"]["path"]) for step in scenario["steps"])
    return all(one is None or one[2] in NOWHERE or one in kinds for one in wanted)


def reasons(path):
    """Scenarios that are known to differ: the first cells of the table's rows, where * stands for anything."""
    rows = re.findall(r"^\| `([^`]+)` \|", open(path).read(), re.M)
    return {row: re.compile(re.escape(row).replace(r"\*", ".*")) for row in rows}


def main():
    url, scenarios, differences = sys.argv[1:4]
    client = replay.Client(url)
    kinds = served(client)
    lines = (json.loads(line) for line in gzip.open(scenarios, "rt"))
    scenarios = [one for one in lines if concerns(one, kinds)]
    known, met, failed = reasons(differences), set(), 0
    for scenario in scenarios:
        found = [(step, all_) for step, all_ in replay.replay(client, scenario) if all_]
        rows = [row for row, pattern in known.items() if pattern.fullmatch(scenario["name"])]
        met.update(rows if found else ())
        if not found or rows:
            continue
        failed += 1
        print("DIFFERS", scenario["name"])
        for step, all_ in found[:3]:
            request = scenario["steps"][step]["request"]
            print("   step", step, request["method"], request["path"][:120])
            for one in all_[:4]:
                print("      ", one[:300])
    stale = sorted(set(known) - met)
    for row in stale:
        print("DIFFERS NO MORE", row)
    print(f"{len(scenarios)} scenarios of {len(kinds)} resources, {failed} differ, {len(stale)} of the list do not")
    sys.exit(bool(failed or stale))


main()
