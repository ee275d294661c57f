#!/usr/bin/env python3
""".ci/suite-gateway.py TABLE MESHCTL: every document of a table of Gateway API cases is validated; what the table says that
the schema refuses must be refused, and nothing else. The last line is `N passed, M failed`."""
import json
import re
import subprocess
import sys
import tempfile

table, meshctl = sys.argv[1:]
passed = failed = 0
for case in json.load(open(table))["cases"]:
    # Marks name objects as `namespace/^beginning-of-the-name`: most of them are made by the translation, and none of the input.
    refused = {mark.replace("/^", "/") for mark in case["input_refused_by_crd_schema"]}
    for document in case["input"]:
        head = document["metadata"]
        name = f'{head.get("namespace", "default")}/{head["name"]}'
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(document, file)
            file.flush()
            ran = subprocess.run([meshctl, "validate", "-f", file.name], capture_output=True, text=True)
        should = any(name.startswith(prefix) for prefix in refused)
        if (ran.returncode != 0) == should:
            passed += 1
        else:
            failed += 1
            print(f"FAIL {case['id']} {document['kind']} {name}: should be {'refused' if should else 'taken'}")
            print(re.sub(r"^", "  ", (ran.stdout + ran.stderr).strip(), flags=re.M))
print(f"{passed} passed, {failed} failed")
