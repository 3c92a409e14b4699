"""A stand-in for W&B's server on loopback: as much of its protocol as `bench dashboard` uses.

It keeps what it is sent and answers as the client expects. What the real server makes of it, and
how it draws a report, it cannot tell. Methods of ``Store`` have the names of W&B's operations.
"""

import gzip
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Store:
    """What was sent: runs {id: fields}, artifacts {name: versions}, reports {id: fields}."""

    def __init__(self, url: str):
        self.url = url
        self.unknown: list[str] = []
        # The operation that is refused; whether to say nothing any more, as if it had died.
        self.refuse, self.hang = "", False
        self.files: list[bytes] = []
        self.sweep, self.points = "", []
        self.runs: dict[str, dict] = {}
        self.history: dict[str, list[str]] = {}
        self.summaries: dict[str, dict] = {}
        self.artifacts: dict[str, list[dict]] = {}
        self.uses: list[tuple[str, str]] = []
        self.reports: dict[str, dict] = {}
        self.lock = threading.RLock()

    def silent(self) -> None:
        while self.hang:
            time.sleep(0.05)

    def answer(self, text: str, variables: dict) -> dict:
        name = re.search(r"(?:query|mutation)\s+(\w+)", text)[1]
        with self.lock:
            if name == self.refuse:
                raise PermissionError("refused")
            return getattr(self, name)(variables)

    def Viewer(self, _):
        nobody = {"edges": []}
        who = {"id": "u", "name": "n", "username": "me", "email": "m@x", "entity": "me"}
        who |= {"flags": "{}", "admin": False, "deletedAt": None, "teams": nobody}
        return {"viewer": who | {"apiKeys": nobody}}

    GetViewer = GetDefaultEntity = Viewer

    def UpsertBucket(self, v):
        new = v["name"] not in self.runs
        run = self.runs.setdefault(v["name"], {})
        run |= {"entity": "me"} | {key: value for key, value in v.items() if value is not None}
        return {"upsertBucket": {"bucket": self.bucket(run), "inserted": new}}

    def bucket(self, run):
        owner = {"id": "e", "name": run["entity"]}
        return {
            "id": run["name"],
            "name": run["name"],
            "displayName": run.get("displayName"),
            "description": "",
            "config": run.get("config", "{}"),
            "sweepName": None,
            "project": {"id": "p", "name": run["project"], "entity": owner},
            "historyLineCount": len(self.history.get(run["name"], [])),
        }

    def ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def ArtifactMembershipByName(self, v):
        name, _, version = v["name"].partition(":")
        found = self.artifacts.get(name)
        return {"project": {"artifactCollectionMembership": found and self.member(name, found[-1])}}

    def ArtifactType(self, v):
        found = self.artifacts.get(v["name"].partition(":")[0])
        kind = found and {"artifactType": {"name": found[-1]["type"]}}
        return {"project": {"artifact": kind}}

    def CreateArtifact(self, v):
        given = v["input"]
        name, digest = given["artifactCollectionName"], given["digest"]
        versions = self.artifacts.setdefault(name, [])
        same = [a for a in versions if a["digest"] == digest]
        if not same:
            made = {"id": f"{name}:v{len(versions)}", "version": len(versions), "digest": digest}
            made |= {"type": given["artifactTypeName"], "run": given["runName"], "state": "PENDING"}
            versions.append(made)
        artifact = same[0] if same else versions[-1]
        latest = {"id": versions[-1]["id"]} if versions[-1]["state"] == "COMMITTED" else None
        found = {"id": artifact["id"], "state": artifact["state"]}
        return {
            "createArtifact": {"artifact": found | {"artifactSequence": {"latestArtifact": latest}}}
        }

    def manifest(self, verb, artifact):
        file = {"id": "f", "uploadUrl": f"{self.url}/upload/manifest", "uploadHeaders": []}
        return {f"{verb}ArtifactManifest": {"artifactManifest": {"id": artifact, "file": file}}}

    def CreateArtifactManifest(self, v):
        return self.manifest("create", v["artifactID"])

    def UpdateArtifactManifest(self, v):
        return self.manifest("update", v["artifactManifestID"])

    def CreateArtifactFiles(self, v):
        edges = []
        for place, spec in enumerate(v["input"]["artifactFiles"]):
            node = {"id": str(place), "name": spec["name"], "displayName": spec["name"]}
            node |= {"uploadUrl": f"{self.url}/upload/{place}", "uploadHeaders": []}
            node |= {"storagePath": "s", "uploadMultipartUrls": None}
            edges.append({"node": node | {"artifact": {"id": spec["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def CommitArtifact(self, v):
        for versions in self.artifacts.values():
            for artifact in versions:
                if artifact["id"] == v["artifactID"]:
                    artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": "d"}}}

    def ArtifactByID(self, v):
        name = v["id"].partition(":")[0]
        found = next(a for a in self.artifacts[name] if a["id"] == v["id"])
        return {"artifact": self.member(name, found)["artifact"]}

    def UseArtifact(self, v):
        self.uses.append((v["runName"], v["artifactID"]))
        return {"useArtifact": {"artifact": {"id": v["artifactID"]}}}

    def member(self, name, artifact):
        project = {"id": "p", "internalId": "p", "name": "likelihood-bench"}
        project |= {"entity": {"name": "me"}}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        aliases = [{"__typename": "ArtifactAlias", "id": "l", "alias": "latest"}]
        return {
            "__typename": "ArtifactCollectionMembership",
            "id": f"m-{artifact['id']}",
            "versionIndex": artifact["version"],
            "createdAt": "2024-01-01T00:00:00",
            "aliases": aliases,
            "artifactCollection": collection,
            "artifact": {
                "__typename": "Artifact",
                "id": artifact["id"],
                "artifactSequence": collection,
                "versionIndex": artifact["version"],
                "artifactType": {"name": artifact["type"]},
                "description": None,
                "metadata": "{}",
                "ttlDurationSeconds": -2,
                "ttlIsInherited": False,
                "tags": [],
                "historyStep": None,
                "state": "COMMITTED",
                "size": 1,
                "digest": artifact["digest"],
                "commitHash": "c",
                "fileCount": 1,
                "createdAt": "2024-01-01T00:00:00",
                "updatedAt": None,
                "aliases": [a | {"artifactCollection": collection} for a in aliases],
            },
        }

    def GetProjects(self, v):
        node = {"__typename": "Project", "id": "p", "name": "likelihood-bench", "createdAt": "c"}
        who = self.Viewer({})["viewer"]
        node |= {"entityName": v["entity"], "isBenchmark": False, "user": who}
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        return {"models": {"edges": [{"node": node}], "pageInfo": page}}

    def ProjectInternalId(self, _):
        return {"project": {"id": "p", "internalId": "internal"}}

    def ProjectViews(self, _):
        user = {"username": "me", "photoUrl": None, "email": "m@x"}
        edges = [{"node": view | {"user": user}, "cursor": "c"} for view in self.reports.values()]
        page = {"endCursor": None, "hasNextPage": False}
        return {"project": {"allViews": {"edges": edges, "pageInfo": page}}}

    def upsertView(self, v):
        identity = v["id"] or f"view{len(self.reports)}"
        project = {"id": "p", "name": v["projectName"], "entityName": v["entityName"]}
        view = {"id": identity, "type": v["type"], "name": v["name"], "project": project}
        view |= {"displayName": v["displayName"], "description": v["description"]}
        view |= {"spec": v["spec"], "createdAt": "2024-01-01", "updatedAt": "2024-01-01"}
        self.reports[identity] = view
        return {"upsertView": {"view": view, "inserted": v["id"] is None}}

    def SweepWithRuns(self, v):
        """A grid at work; ``points`` are the parameters that its agents are still to be given."""
        names = ("description", "heartbeatAt", "updatedAt", "bestLoss", "controller", "scheduler")
        sweep = dict.fromkeys(names) | {"id": "s", "name": v["sweep"], "method": "grid"}
        sweep |= {"state": "RUNNING", "config": self.sweep, "createdAt": "2024-01-01T00:00:00"}
        sweep |= {"earlyStopJobRunning": False, "runs": {"edges": []}}
        return {"project": {"sweep": sweep}}

    def CreateAgent(self, _):
        return {"createAgent": {"agent": {"id": "agent"}}}

    def Heartbeat(self, v):
        commands = []
        if self.points:
            values = {name: {"value": value} for name, value in self.points.pop().items()}
            commands.append({"type": "run", "id": "c", "run_id": "agents99", "args": values})
            commands[0]["program"] = "bench"
        return {"agentHeartbeat": {"agent": {"id": v["id"]}, "commands": json.dumps(commands)}}

    def RunResumeStatus(self, v):
        run = self.runs.get(v["name"])
        found = run and self.bucket(run) | {
            "summaryMetrics": run.get("summaryMetrics", "{}"),
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyTail": "[]",
            "eventsTail": "[]",
            "tags": run.get("tags"),
            "notes": None,
            "wandbConfig": '{"t": {}}',
        }
        owner = {"id": "e", "name": v["entity"]}
        return {"model": {"id": "p", "name": v["project"], "entity": owner, "bucket": found}}

    def stream(self, run, words):
        with self.lock:
            files = words.get("files", {})
            if "wandb-summary.json" in files:
                text = files["wandb-summary.json"]["content"][-1]
                self.summaries.setdefault(run, {}).update(json.loads(text))
            part = files.get("wandb-history.jsonl", {"offset": 0, "content": []})
            lines = self.history.setdefault(run, [])
            lines[part["offset"] : part["offset"] + len(part["content"])] = part["content"]

    def CreateRunFiles(self, v):
        files = [{"name": n, "uploadUrl": f"{self.url}/upload/{n}"} for n in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}


def handler_of(store: Store):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def content(self) -> bytes:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def send(self, found: dict, code: int = 200):
            body = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.send({})

        def do_PUT(self):
            store.files.append(self.content())
            self.send({})

        def do_POST(self):
            body = self.content()
            store.silent()
            if self.path.endswith("/graphql"):
                asked = json.loads(body)
                text, variables = asked["query"], asked.get("variables") or {}
                try:
                    self.send({"data": store.answer(text, variables)})
                except Exception as error:
                    store.unknown.append(f"{error!r} {text}")
                    self.send({"errors": [{"message": repr(error)}]}, 400)
                return
            path, words = self.path.split("/"), json.loads(body) if body[:1] == b"{" else {}
            if path[-1] == "file_stream":
                store.stream(path[-2], words)
            self.send({})

    return Handler


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is none of the test's business."""


@contextmanager
def serving():
    """Serve on loopback; gives the store."""
    server = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    store = Store(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = handler_of(store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        store.hang = False
        server.shutdown()
        server.server_close()
