"""No health data leaks: words put wherever a person's name may stand, then looked for wherever the service writes.

The real process serves visits, tables and bad input of every kind at its most talkative log level. What it wrote to its
log, metrics, error bodies, audit log, database and folders is searched, also while an upload is under way. What is
shown on purpose has tests of its own, and stands in SECURITY.md.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from predictor.model.bundle import save_bundle
from serving.access.api_keys import ApiKeys
from serving.access.principal import SCOPES
from serving.store.database import Database
from tests.serving.conftest import make_confounds, make_events, make_visit, train_bundle

Parts = dict[str, tuple[str, bytes]]
WORD = "Quetzalcoatl"  # of every canary; the rest says where it was put
VALUE = "0.8390174625"  # of a feature, which no other number begins with
FEATURE = "rest_fisher_z__amygdala_L__vmPFC"
BOUNDARY = f"{WORD}boundary"


def canary(place: str) -> str:
    """Return a word that says where it was put."""
    return f"{WORD}-{place}"


def canary_scan(content: bytes) -> bytes:
    """Write the word into every text that a NIfTI header, its extensions and a gzip member can hold."""
    image = bytearray(gzip.decompress(content))
    for place, offset, length in (("aux", 228, 24), ("intent", 328, 16), ("db", 14, 18)):
        image[offset : offset + length] = canary(place).encode()[:length].ljust(length, b"\0")
    image[148:228] = canary("description").encode().ljust(80, b"\0")
    comment = canary("extension").encode().ljust(56, b"\0")
    extension = b"\1\0\0\0" + struct.pack("<ii", 64, 6) + comment
    image[108:112] = struct.pack("<f", 348 + len(extension))
    return canary_member(bytes(image[:348]) + extension + bytes(image[352:]))


def canary_member(content: bytes) -> bytes:
    """Return a gzip member with the word in its name, its comment and its extra field."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
    extra = canary("gzip-extra").encode()
    head = b"\x1f\x8b\x08" + bytes([4 | 8 | 16]) + bytes(4) + b"\0\xff" + struct.pack("<H", len(extra)) + extra
    head += canary("gzip-name").encode() + b"\0" + canary("gzip-comment").encode() + b"\0"
    return head + deflate.compress(content) + deflate.flush() + struct.pack("<II", zlib.crc32(content), len(content))


def canary_visit() -> Parts:
    """Return a visit that can be scored, with the word in every text that is not read."""
    parts: Parts = {}
    for name, (file_name, content) in make_visit().items():
        parts[name] = (file_name.replace("sub-01", f"sub-{canary('file-name')}"), content)
    for kind in ("rest", "faces"):
        parts[kind] = (parts[kind][0], canary_scan(parts[kind][1]))
        for table in ("sidecar", "confounds_sidecar"):
            file_name, content = parts[f"{kind}_{table}"]
            document = json.loads(content) | {"PatientName": canary("sidecar"), canary("sidecar-key"): 1}
            parts[f"{kind}_{table}"] = (file_name, json.dumps(document).encode())
        file_name, content = parts[f"{kind}_confounds"]
        parts[f"{kind}_confounds"] = (file_name, with_column(content, canary("confounds-column"), canary("confounds")))
    file_name, content = parts["faces_events"]
    parts["faces_events"] = (file_name, with_column(content, canary("events-column"), canary("events-cell")))
    return parts


def with_column(table: bytes, name: str, cell: str) -> bytes:
    """Add a column to a table."""
    header, *lines = table.decode().splitlines()
    return "\n".join([f"{header}\t{name}", *(f"{line}\t{cell}" for line in lines)]).encode() + b"\n"


def with_cell(table: bytes, column: str, cell: str) -> bytes:
    """Overwrite one cell of a table."""
    rows = [line.split("\t") for line in table.decode().splitlines()]
    rows[3][rows[0].index(column)] = cell
    return "\n".join("\t".join(row) for row in rows).encode() + b"\n"


@dataclass
class Service:
    """The real process, with folders of its own."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    key: str
    bundle: Any
    url: str = ""
    replies: list[httpx.Response] = field(default_factory=list)
    in_temporary_files: list[str] = field(default_factory=list)

    def wait_until_announced(self) -> None:
        """Learn the address that the process says it answers at."""
        ends = time.monotonic() + 60
        while not (found := re.search(r"^Open +(\S+)", self.log.read_text(), re.MULTILINE)):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends, "the service did not start"
            time.sleep(0.02)
        self.url = found[1]

    def client(self, **headers: str) -> httpx.Client:
        """Return a client with the word in the headers that browsers and proxies send."""
        carried = {
            "User-Agent": canary("user-agent"),
            "Referer": f"http://127.0.0.1/{canary('referer')}",
            "Cookie": f"krp_browser={canary('cookie')}; krp_sign_in={canary('cookie')}; x={canary('cookie')}",
            "X-Request-Id": canary("request-id"),
            "X-Forwarded-For": canary("forwarded"),
            "Forwarded": f"for={canary('forwarded')}",
            "Accept-Language": canary("language"),
            "X-Patient": canary("header"),
            canary("header-name"): "1",
            "Authorization": f"Bearer {self.key}",
        }
        noted = {"response": [self._note]}
        return httpx.Client(
            base_url=self.url, timeout=60, verify=False, trust_env=False, headers=carried | headers, event_hooks=noted
        )

    def _note(self, reply: httpx.Response) -> None:
        reply.read()
        self.replies.append(reply)

    def stop(self) -> None:
        """End the process, and have all of its log."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=40)

    def files(self) -> dict[str, bytes]:
        """Return every file below the folders that the process writes to; names count as content."""
        found = [path for path in self.folder.rglob("*") if "bundle" not in path.relative_to(self.folder).parts]
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else b""
            for path in found
            if path.exists()
        }

    def open_files(self) -> set[str]:
        """Return the regular files that the process has open for writing, deleted ones too."""
        opened = set()
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                target = os.readlink(link)
                flags = int(re.search(r"flags:\s+(\d+)", (link.parent.parent / "fdinfo" / link.name).read_text())[1], 8)  # type: ignore[index]
            except OSError:
                continue
            if target.startswith("/") and not target.startswith("/dev/") and flags & os.O_ACCMODE:
                opened.add(target)
        return opened


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    bundle = train_bundle()
    save_bundle(bundle, folder / "bundle")
    (folder / "tmp").mkdir()
    url = f"sqlite:///{folder}/service.db"
    with closing(Database.open(url)) as database:
        _, key = ApiKeys(database).create("canaries", scopes=SCOPES, valid_for=None)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("KRP_")},
        "KRP_LOG_LEVEL": "debug",
        "KRP_DATABASE_URL": url,
        "KRP_MAX_ROWS": "50",
        "KRP_SCANS_PER_MINUTE": "1000",
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.getcwd(),
    }
    command = [sys.executable, "-m", "predictor", "serve", "--bundle", str(folder / "bundle"), "--port", "0"]
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=written, stderr=subprocess.STDOUT)
    running = Service(process, folder, log, key=key, bundle=bundle)
    try:
        running.wait_until_announced()
        yield running
    finally:
        running.stop()


def row(bundle: Any, **changed: Any) -> dict[str, Any]:
    """Return a row of features that can be scored."""
    features = dict.fromkeys((item.name for item in bundle.definitions), 0.2) | {FEATURE: float(VALUE)}
    covariates = {"caps5_total_baseline": 44.0, "site": canary("site"), "sex": "female"}
    return {"participant": canary("label"), "features": features, "covariates": covariates, **changed}


def wrong_rows(bundle: Any) -> list[dict[str, Any]]:
    """Return rows that are refused, each with the word where the fault is."""
    right = row(bundle)
    return [
        {**right, "features": right["features"] | {FEATURE: canary("value")}},
        {**right, "features": right["features"] | {FEATURE: [canary("value")]}},
        {**right, "features": right["features"] | {FEATURE: float(VALUE) * 1e300 * 1e10}},
        {**right, "features": right["features"] | {FEATURE: float(VALUE) * 1e200}},
        {**right, "covariates": {"sex": canary("level")}},
        {**right, "covariates": {"arm": canary("level")}},
        {**right, "covariates": {"caps5_total_baseline": canary("number")}},
        {**right, "covariates": {"caps5_total_baseline": canary("number") * 40}},
        {**right, "recipe_hash": [canary("recipe")]},
        {**right, "participant": {"name": canary("label")}},
        {**right, "participant": canary("label") * 40},
    ]


def wrong_visits(visit: Parts) -> list[Parts]:
    """Return visits that are refused or flagged, each with the word where the fault is."""
    rest = {name: part for name, part in visit.items() if name.startswith("rest")}
    faces = {name: part for name, part in visit.items() if name.startswith("faces")}

    def changed(parts: Parts, name: str, content: bytes) -> Parts:
        return {**parts, name: (parts[name][0], content)}

    confounds, events, scan = make_confounds(), make_events(), visit["rest"][1]
    inflated = gzip.decompress(scan)
    no_mni = inflated[:252] + b"\0\0\0\0" + inflated[256:]
    return [
        changed(rest, "rest_confounds", with_cell(confounds, "trans_x", canary("cell"))),
        changed(rest, "rest_confounds", with_cell(confounds, "framewise_displacement", canary("cell"))),
        changed(rest, "rest_confounds", confounds.replace(b"trans_x\t", canary("renamed").encode() + b"\t", 1)),
        changed(rest, "rest_confounds", confounds + canary("short-line").encode() + b"\n"),
        changed(rest, "rest_confounds", confounds.split(b"\n", 1)[1]),  # without its header
        changed(rest, "rest_confounds", with_cell(confounds + confounds[-9:], "trans_x", canary("cell"))),
        changed(
            rest, "rest_confounds", re.sub(rb"^.*", b"\t".join(canary(f"c{n}").encode() for n in range(41)), confounds)
        ),
        changed(rest, "rest_confounds", re.sub(rb"^.*", b"\t".join([canary("c").encode()] * 41), confounds)),
        changed(rest, "rest_confounds", canary("no-table").encode()),
        changed(rest, "rest_confounds", canary("no-table").encode("utf-16")),
        changed(rest, "rest_confounds", canary_member(confounds)),
        changed(rest, "rest_sidecar", f'{{"RepetitionTime": "{canary("sidecar")}"}}'.encode()),
        changed(rest, "rest_sidecar", f'{{"RepetitionTime": {canary("sidecar")}'.encode()),
        changed(rest, "rest_sidecar", f'{{"RepetitionTime": 3, "{canary("sidecar")}": 1}}'.encode()),
        changed(rest, "rest_sidecar", f'["{canary("sidecar")}"]'.encode()),
        changed(rest, "rest_confounds_sidecar", f'{{"{canary("sidecar")}": '.encode()),
        changed(rest, "rest", canary_member(inflated[:-1000])),
        changed(rest, "rest", canary_member(no_mni)),
        changed(rest, "rest", scan[: len(scan) // 2]),
        changed(rest, "rest", canary_member(canary("no-scan").encode() * 100)),
        changed(rest, "rest", inflated[:344] + canary("magic").encode() + inflated[356:]),
        changed(faces, "faces_events", with_cell(events, "onset", canary("cell"))),
        changed(faces, "faces_events", with_cell(events, "duration", canary("cell"))),
        changed(faces, "faces_events", re.sub(rb"faces|shapes", canary("trial").encode(), events)),
        changed(faces, "faces_events", with_cell(events, "trial_type", canary("trial"))),
        changed(faces, "faces_events", events.replace(b"trial_type", canary("renamed").encode())),
        changed(faces, "faces_events", events.split(b"\n", 1)[1]),
        {**rest, "rest": (canary("no-bids-name"), scan)},
        {**rest, "rest": (f"sub-{canary('space')}_space-{canary('space')}_bold.nii.gz", scan)},
        {**rest, "covariates": ("", f'{{"sex": "{canary("level")}"}}'.encode())},
        {**rest, "covariates": ("", f'{{"site": "{canary("site")}"}}'.encode())},
        {**rest, "covariates": ("", f'{{"site": {canary("json")}'.encode())},
        {**rest, "covariates": ("", f'["{canary("json")}"]'.encode())},
        {**rest, "covariates": ("", f'{{"caps5_total_baseline": "{canary("number")}"}}'.encode())},
    ]


def tables(bundle: Any) -> list[bytes]:
    """Return feature tables: one that can be scored, and others with the word where the fault is."""
    names = [item.name for item in bundle.definitions]
    header = "\t".join(["participant_id", "site", "sex", "caps5_total_baseline", *names])

    def table(label: str = canary("label"), sex: str = "female", score: str = "44", first: str = VALUE) -> bytes:
        cells = [label, canary("site"), sex, score, first, *(["0.2"] * (len(names) - 1))]
        return f"{header}\n".encode() + "\t".join(cells).encode() + b"\n"

    right = table()
    line = right.split(b"\n")[1]
    return [
        right,
        table(sex=canary("level")),
        table(score=canary("number")),
        table(first=canary("value")),
        table(first="1e400"),
        table(first="8.390174625e200"),
        right + line + b"\n",
        right + canary("short-line").encode() + b"\n",
        right.replace(b"participant_id", b"name"),
        line + b"\n" + line + b"\n",  # without its header
        f"{canary('label')}\t{VALUE}\t1\n{canary('label')}\t{VALUE}\t1\n".encode(),
        f"participant_id\t{canary('person')}\n1\t2\n".encode(),
        f"participant_id\t{FEATURE}\n{canary('label')}\t{canary('value')}\n".encode(),
        right.replace(b"\t", b'\t"', 1),
        right.decode().encode("utf-16"),
        f"{canary('header')}\n".encode(),
        right.replace(b"0.2", b"0.2,", 1),
    ]


ADDRESSES = [
    "/" + canary("path"),
    "/v1/results/" + canary("path"),
    "/v1/explanations/" + canary("path"),
    f"/v1/explanations/{canary('path')}/waterfall.svg",
    f"/v1/explanations/{canary('path')}/{canary('file')}",
    f"/results/{canary('path')}",
    f"/results/{canary('path')}/answer.json",
    f"/static/{canary('path')}.css",
    f"/models/{canary('path')}/card",
    f"/v2/models/{canary('path')}",
    f"/v2/models/{canary('path')}/versions/{canary('path')}",
    f"/v1/audit?after={canary('query')}",
    f"/v1/audit?limit={canary('query')}&{canary('query')}=1",
    f"/v1/results?patient={canary('query')}",
    f"/sign-in?next=/{canary('query')}",
    f"/history?name={canary('query')}",
    f"/metrics?name={canary('query')}",
    f"/health/ready?name={canary('query')}",
]


def send_rows(client: httpx.Client, bundle: Any) -> None:
    for query in ("", "?keep=true", f"?keep={canary('query')}", f"?patient={canary('query')}"):
        client.post(f"/v1/predictions{query}", json={"rows": [row(bundle)]})
    as_json = {"Content-Type": "application/json"}
    for wrong in wrong_rows(bundle):
        client.post("/v1/predictions", content=json.dumps({"rows": [row(bundle), wrong]}), headers=as_json)
    for body in (canary("body"), f'{{"rows": "{canary("body")}"}}', f'{{"rows": [{{"features": {canary("body")}'):
        client.post("/v1/predictions", content=body, headers=as_json)
    client.post("/v1/predictions", content="{}", headers={"Content-Type": f"text/{WORD}"})


def send_tensors(client: httpx.Client, bundle: Any) -> None:
    address = f"/v2/models/{bundle.name}/infer"
    right = {"name": FEATURE, "shape": [1], "datatype": "FP64", "data": [float(VALUE)]}
    site = {"name": "site", "shape": [1], "datatype": "BYTES", "data": [canary("site")]}
    sex = {"name": "sex", "shape": [1], "datatype": "BYTES", "data": [canary("level")]}
    for inputs in ([right, site], [right, sex], [{**right, "data": [canary("value")]}], [{**right, "datatype": WORD}]):
        client.post(address, json={"id": canary("id"), "inputs": inputs, "parameters": {"name": canary("parameter")}})


def send_visits(client: httpx.Client, visit: Parts) -> None:
    covariates = json.dumps({"caps5_total_baseline": 44.0, "site": canary("site"), "sex": "female"})
    for address in ("/v1/scans", "/v1/scans?keep=true", "/visit"):
        fields = {"covariates": covariates} if address.startswith("/v1") else None
        assert client.post(address, files=visit, data=fields).status_code < 400
    client.post(f"/v1/scans?name={canary('query')}", files=visit)
    for wrong in wrong_visits(visit):
        client.post("/v1/scans", files=wrong)
    small = {name: part for name, part in visit.items() if name == "rest_sidecar"}
    client.post("/visit", files={**small, "covariates": (canary("file-name"), b"{}")})
    form = f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\n{canary('part')}\r\n--{BOUNDARY}--\r\n"
    client.post("/v1/scans", content=form, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    client.post("/v1/scans", content=canary("body"), headers={"Content-Type": f"multipart/{WORD}"})


def send_tables(client: httpx.Client, bundle: Any) -> None:
    for content in tables(bundle):
        for leave_out in ({}, {"leave_out": "yes"}):
            client.post("/table", files={"table": (canary("file-name"), content)}, data=leave_out)


def send_everything_else(service: Service) -> None:
    with service.client() as client:
        for address in ADDRESSES:
            client.get(address)
            client.get(address, headers={"Accept": "text/html"})
            client.request(WORD.upper()[:8], address)
            client.post(address, content=canary("body"))
        client.get("/", headers={"Host": f"{WORD}.example"})
        client.post("/sign-in", data={"key": canary("key"), "next": canary("next")})
        client.post("/sign-in", data={"key": service.key, "next": canary("next")})
        for credential in (canary("key"), f"{service.key}{WORD}", f"krp_{'0' * 12}_{WORD.ljust(43, 'x')}"):
            for kind in ("Bearer", WORD):
                client.get("/v1/models", headers={"Authorization": f"{kind} {credential}"})
    for head in (
        f"GET /{WORD} HTTP/9.9\r\n\r\n",
        f"GET /{WORD}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{WORD}: {WORD}\r\n bad {WORD}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{WORD}\r\n\r\n",
        f"POST /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {WORD}\r\n\r\n",
        f"POST /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n{WORD}\r\n",
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {WORD * 20_000}\r\n\r\n",
    ):
        talk(service.url, head.encode())


def talk(url: str, content: bytes) -> None:
    """Send raw bytes and read whatever comes back."""
    host, port = url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as connection,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def half_an_upload(service: Service, visit: Parts) -> socket.socket:
    """Begin to send a visit and stop in the middle of its scan, with all tables sent."""
    host, port = service.url.removeprefix("http://").split(":")
    request = httpx.Request("POST", service.url, files=dict(reversed(visit.items())))
    body = request.read()
    head = (
        f"POST /v1/scans HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {service.key}\r\n"
        f"Content-Type: {request.headers['content-type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(head.encode() + body[: len(body) - 500_000])
    return connection


def hits_in(content: bytes | str, *, word: str = WORD) -> list[str]:
    """Return what stands around each place where the word is found, however it is written."""
    raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
    found = []
    for form in {word.encode(), quote(word).encode(), word.encode("utf-16-le"), word.encode().hex().encode()}:
        for hit in re.finditer(re.escape(form), raw, re.IGNORECASE):
            found.append(repr(raw[max(0, hit.start() - 80) : hit.end() + 40]))
    return found


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """Collect what files below a folder hold of the word, however short they exist, until the block ends."""
    found: list[str] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.002):
            with suppress(OSError):  # gone already
                for path in folder.rglob("*"):
                    found.extend(hits_in(path.name) + (hits_in(path.read_bytes()) if path.is_file() else []))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield found
    finally:
        is_over.set()
        looker.join()


@pytest.fixture(scope="module")
def used(service: Service) -> Service:
    """Return the service after everything was sent to it, while its temporary folder was watched."""
    visit = canary_visit()
    with watched(service.folder / "tmp") as service.in_temporary_files, service.client() as client:
        send_rows(client, service.bundle)
        send_tensors(client, service.bundle)
        send_visits(client, visit)
        send_tables(client, service.bundle)
    send_everything_else(service)
    return service


def test_scans_stand_on_no_disk_while_they_arrive(service: Service) -> None:
    with half_an_upload(service, canary_visit()):
        for _ in range(20):
            opened = {name for name in service.open_files() if "service.db" not in name} - {str(service.log)}
            assert opened == set()
            assert not [name for name, content in service.files().items() if hits_in(content) or hits_in(name)]
            time.sleep(0.02)


def test_temporary_files_hold_none_of_it_not_even_for_a_moment(used: Service) -> None:
    assert used.in_temporary_files == []


def test_no_error_quotes_what_was_sent(used: Service) -> None:
    refused = [reply for reply in used.replies if reply.status_code >= 400]
    assert len(refused) > 100
    assert [hit for reply in refused for hit in hits_in(reply.content)] == []
    assert not [reply for reply in refused if hits_in(reply.content, word=VALUE.lstrip("0."))]
    assert not [reply.url for reply in refused if reply.status_code >= 500]


def test_no_header_of_an_answer_quotes_what_was_sent(used: Service) -> None:
    assert not [hit for reply in used.replies for hit in hits_in(str(reply.headers))]


def test_a_name_that_nobody_knows_is_quoted_to_its_sender_only(used: Service) -> None:
    with httpx.Client(
        base_url=used.url, verify=False, trust_env=False, headers={"Authorization": f"Bearer {used.key}"}
    ) as client:
        unknown = row(used.bundle)
        unknown["features"][canary("unknown")] = 1.0
        reply = client.post("/v1/predictions", json={"rows": [unknown]})
        assert reply.json()["code"] == "feature-unknown"
        assert reply.json()["where"] == f"row 1, column {canary('unknown')}"
        assert canary("part") in client.post("/v1/scans", files={canary("part"): b"1"}).json()["detail"]


def test_a_label_comes_back_with_its_answer_and_is_kept_nowhere(used: Service) -> None:
    with httpx.Client(
        base_url=used.url, verify=False, trust_env=False, headers={"Authorization": f"Bearer {used.key}"}
    ) as client:
        sent = client.post("/v1/predictions?keep=true", json={"rows": [row(used.bundle)]})
        (scored,) = sent.json()["predictions"]
        assert scored["participant"] == canary("label")
        kept = client.get(f"/v1/results/{scored['id']}")
        assert kept.status_code == 200
        assert hits_in(kept.text) == []
        assert VALUE in kept.text  # what its owner asked to keep


def test_metrics_and_audit_log_hold_none_of_it(used: Service) -> None:
    with used.client() as client:
        for address in ("/metrics", "/v1/audit?limit=1000", "/v1/results"):
            reply = client.get(address)
            assert reply.status_code == 200
            assert hits_in(reply.text) == []
            assert hits_in(reply.text, word=VALUE) == []


def test_log_database_and_folders_hold_none_of_it(used: Service) -> None:
    used.stop()
    log = used.log.read_bytes()
    assert log.count(b"\n") > 100
    assert [hit for word in (WORD, VALUE, used.key) for hit in hits_in(log, word=word)] == []
    files = used.files()
    assert "service.db" in files
    assert {name: hits_in(content) for name, content in files.items() if hits_in(content) or hits_in(name)} == {}
    assert not [name for name, content in files.items() if used.key.encode() in content]
    assert [name for name in files if name.startswith("tmp/")] == []
