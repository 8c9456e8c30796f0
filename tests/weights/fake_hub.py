"""A model hub on 127.0.0.1, as small as huggingface_hub allows: repositories in memory, branches, downloads, commits."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"


class FakeHub:
    """`repos[name][branch]` holds bytes by file name; `requests` records what was asked. Gated and private repositories need `TOKEN`."""

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.requests: list[str] = []
        self.broken = False
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def add(self, name, files, branch="main"):
        self.repos.setdefault(name, {})[branch] = dict(files)

    def stop(self):
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def downloaded(self):
        """Names of the files whose content was sent, sorted."""
        return sorted(line.rsplit("/", 1)[1] for line in self.requests if line.startswith("GET") and "/resolve/" in line)

    def commit_id(self, name, revision):
        """The commit of a branch or of itself: a hash of what it holds."""
        for branch, files in self.repos[name].items():
            content = b"".join(file.encode() + files[file] for file in sorted(files))
            commit = hashlib.sha1(branch.encode() + content, usedforsecurity=False).hexdigest()
            if revision in (branch, commit):
                return commit, files
        return None, {}


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub  # HTTP/1.0: no connection outlives its answer, so a stopped hub is silent at once

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self._read()

    def do_GET(self):
        self._read()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self._start()
        if parts == ["api", "validate-yaml"]:
            self._json({"warnings": [], "errors": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif parts == ["api", "repos", "create"]:
            self._create(json.loads(body))
        else:
            name, action, branch = "/".join(parts[2:4]), parts[4], parts[5]
            files = self.hub.repos[name].get(branch)
            if action == "branch":
                self.hub.repos[name].setdefault(branch, dict(self.hub.repos[name]["main"]))
                self._json({})
            elif action == "preupload":
                asked = [file["path"] for file in json.loads(body)["files"]]
                self._json({"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]})
            elif action == "commit":
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                commit, _ = self.hub.commit_id(name, branch)
                self._json({"commitUrl": f"{self.hub.endpoint}/{name}/commit/{commit}", "commitOid": commit})

    def _create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repos:
            self._json({"url": f"{self.hub.endpoint}/{name}"}, 409)
            return
        self.hub.add(name, {})
        if asked.get("visibility") == "private" or asked.get("private"):
            self.hub.private.add(name)
        self._json({"url": f"{self.hub.endpoint}/{name}"})

    def _start(self):
        self.hub.requests.append(f"{self.command} {self.path}")
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _read(self):
        parts = self._start()
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.hub.broken:
            self._answer(500, b"")
            return
        if parts[:2] == ["api", "models"]:
            name, parts = "/".join(parts[2:4]), parts[4:]
        else:
            name, parts = "/".join(parts[:2]), parts[2:]
        if name not in self.hub.repos or (name in self.hub.private and not known):
            self._answer(404 if known else 401, b"", {"X-Error-Code": "RepoNotFound"})
            return
        commit, files = self.hub.commit_id(name, parts[1] if len(parts) > 1 else "main")
        if commit is None:
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif not parts or parts[0] == "revision":
            self._json({"id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]})
        elif parts[0] == "tree":
            listed = [{"type": "file", "path": file, "size": len(content), "oid": _oid(content)} for file, content in files.items()]
            self._json(listed)
        elif name in self.hub.gated and not known:
            self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "/".join(parts[2:]) in files:
            content = files["/".join(parts[2:])]
            self._answer(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": commit})
        else:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})

    def _json(self, data, status=200):
        self._answer(status, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _oid(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
