"""Checks documents of `gateway export` by the service's own model: botocore's with lengths and patterns, and its JSON as a template by cfn-lint."""

import gzip
import json
import os
import re
import subprocess
import sys

import botocore

MODEL = os.path.join(os.path.dirname(botocore.__file__), "data", "mailmanager")
version = sorted(os.listdir(MODEL))[-1]
with gzip.open(os.path.join(MODEL, version, "service-2.json.gz")) as file:
    SHAPES = json.load(file)["shapes"]


def check(shape_name, value, path):
    """Every way in which the value is not of the shape."""
    shape = SHAPES[shape_name]
    kind = shape["type"]
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path}: not a structure"]
        members = shape["members"]
        found = [f"{path}: {key} is not known" for key in value if key not in members]
        found += [f"{path}: {key} is missing" for key in shape.get("required", []) if key not in value]
        if shape.get("union") and len(value) != 1:
            found.append(f"{path}: one member of a union, not {list(value)}")
        for key in value:
            if key in members:
                found += check(members[key]["shape"], value[key], f"{path}.{key}")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        found = [f"{path}: {len(value)} items"] if not shape.get("min", 0) <= len(value) <= shape.get("max", 10**9) else []
        for place, item in enumerate(value):
            found += check(shape["member"]["shape"], item, f"{path}[{place}]")
        return found
    if kind == "string":
        if not isinstance(value, str):
            return [f"{path}: {value!r} is not a text"]
        found = []
        if "enum" in shape and value not in shape["enum"]:
            found.append(f"{path}: {value!r} is none of {shape['enum']}")
        if not shape.get("min", 0) <= len(value) <= shape.get("max", 10**9):
            found.append(f"{path}: {len(value)} characters")
        if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
            found.append(f"{path}: {value!r} does not match {shape['pattern']}")
        return found
    if kind in ("integer", "long"):
        return [] if isinstance(value, int) and value >= shape.get("min", value) else [f"{path}: {value!r}"]
    if kind == "double":
        return [] if isinstance(value, (int, float)) else [f"{path}: {value!r}"]
    return [f"{path}: {kind} was not expected"]


OPERATIONS = {
    "create-rule-set": "CreateRuleSetRequest",
    "create-traffic-policy": "CreateTrafficPolicyRequest",
    "create-relay": "CreateRelayRequest",
    "create-address-list": "CreateAddressListRequest",
    "create-archive": "CreateArchiveRequest",
    "create-ingress-point": "CreateIngressPointRequest",
}

found = []
for file in sys.argv[1:]:
    name = os.path.basename(file)
    if name == "template.json":
        lint = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), "cfn-lint"), "--regions", "us-east-1", "--", file], capture_output=True, text=True
        )
        found += [line for line in (lint.stdout + lint.stderr).splitlines() if line] if lint.returncode else []
    else:
        with open(file, encoding="utf-8") as document:
            found += check(OPERATIONS[name.split(".")[0]], json.load(document), name)
print("\n".join(found))
sys.exit(bool(found))
