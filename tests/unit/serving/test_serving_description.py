"""The API against its description: requests made from it, among them wrong ones, and answers compared with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Served

from vidsearch.serving.app import ROUTES
from vidsearch.serving.openapi import description

CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


def test_every_request_of_the_api_is_described() -> None:
    served = {(route.path, method) for route in ROUTES for method in route.methods or () if method != "HEAD"}
    described = {(path, method.upper()) for path, operations in description()["paths"].items() for method in operations}
    pages = {("/", "GET"), ("/library", "GET"), ("/video/{number}", "GET"), ("/static/{name}", "GET")}
    assert served - pages == described | {("/api/openapi.json", "GET")}


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(4, id="some"),
        pytest.param(160, id="two-thousand", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_no_request_is_a_server_error(server: Served, tmp_path: Path, examples: int) -> None:
    """schemathesis, in a process of its own: no status of 5xx, and every answer has the form that is described.

    Indexing is left out: it is not a matter of the request, and works for minutes. Among two thousand requests there
    is no conversion either, each of which is a process.
    """
    left_out = "/api/indexing/(start|events)" + ("|/converted" if examples > 10 else "")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/api/openapi.json"),
            *("--checks", CHECKS, "--max-examples", str(examples), "--seed", "20", "--no-color"),
            *("--exclude-path-regex", left_out, "--generation-database", "none"),
            *("--phases", "examples,coverage,fuzzing" if examples > 10 else "examples,fuzzing"),
            *("--report", "ndjson", "--report-ndjson-path", str(tmp_path / "report.ndjson")),
        ],
        env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()[-6000:] + done.stderr.decode()[-2000:]
    requests = (tmp_path / "report.ndjson").read_text().count('"status_code"')
    assert requests >= (2000 if examples > 10 else 50)
    assert json.loads((tmp_path / "report.ndjson").read_text().splitlines()[0])
