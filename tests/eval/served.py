"""An embedded engine behind the two HTTP interfaces of Vespa that evaluation asks."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import numpy as np

from ranking.types import Filter, Query

TEST = re.compile(r"(\w+) contains @(\w+)")
FULL = {"coverage": 100, "full": True, "nodes": 1}
PARTIAL = {"coverage": 60, "full": False, "nodes": 1, "degraded": {"timeout": True}}


@contextmanager
def serving(engine, *, partial=False):
    """Its URL. partial: every answer says that it looked at 60 % of the documents."""
    handler = type("Handler", (_Handler,), {"engine": engine, "partial": partial})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._reply({"root": self._answer(body)})

    def do_GET(self):
        identifier = unquote(urlsplit(self.path).path.partition("/docid")[2].removeprefix("/"))
        if not identifier:
            ids = [{"id": f"id:image:image::{name}"} for name in self.engine.ids()]
            self._reply({"documents": ids})
            return
        document = self.engine.get(identifier)
        if document is None:
            self._reply({"id": f"id:image:image::{identifier}"}, 404)
            return
        fields = {"id": identifier, "caption": document.caption}
        for name, vector in document.vectors.items():
            fields[name] = {"type": f"tensor<float>(x[{len(vector)}])", "values": vector.tolist()}
        self._reply({"fields": fields})

    def log_message(self, *_):
        pass

    def _answer(self, body):
        yql = body["yql"]
        coverage = {**(PARTIAL if self.partial else FULL), "documents": self.engine.count()}
        if "where true" in yql:
            (field,) = self.engine.info().vector_fields
            group = {
                "id": "group:string:x",
                "value": field.fingerprint,
                "fields": {"count()": self.engine.count()},
                "relevance": 1.0,
            }
            groups = {"id": "grouplist:x", "relevance": 1.0, "children": [group]}
            root = {"id": "group:root:0", "relevance": 1.0, "children": [groups]}
            total = {"totalCount": self.engine.count()}
            return {"fields": total, "coverage": {**coverage, **FULL}, "children": [root]}
        asked = self._query(body, yql)
        result = self.engine.search(asked)
        columns = re.match(r"select ([\w, ]+) from", yql)[1].split(", ")
        shown = {hit.id: self.engine.get(hit.id) for hit in result} if len(columns) > 1 else {}
        hits = [
            {
                "id": f"hit-{hit.id}",
                "relevance": hit.score,
                "fields": {
                    **{name: getattr(shown[hit.id], name) for name in columns if shown},
                    "id": hit.id,
                    "matchfeatures": dict(hit.features),
                },
            }
            for hit in result
        ]
        lists = [
            {
                "id": f"grouplist:{name}",
                "label": name,
                "children": [
                    {"id": f"group:string:{v}", "value": v, "fields": {"count()": n}}
                    for v, n in reversed(counts.items())
                ],
            }
            for name, counts in result.facets.items()
        ]
        if lists:
            hits.append({"id": "group:root:0", "children": lists})
        return {"fields": {"totalCount": result.total}, "coverage": coverage, "children": hits}

    def _query(self, body, yql):
        vector = next((v for k, v in body.items() if k.startswith("input.query(q_")), None)
        barred = frozenset(
            body[name]
            for clause in re.findall(r"!\(([^)]*)\)", yql)
            for column, name in TEST.findall(clause)
            if column == "id"
        )
        kept = re.sub(r"!\([^)]*\)", "", yql)
        far = re.search(r"distanceThreshold: ([\d.]+)", yql)
        filters = tuple(Filter(column, (body[name],)) for column, name in TEST.findall(kept))
        return Query(
            text=body.get("text", ""),
            vector=None if vector is None else np.frombuffer(bytes.fromhex(vector), ">f4"),
            profile=re.sub(r"_[0-9a-f]{8}$", "", body["ranking.profile"]),
            k=body["hits"],
            facets=tuple(re.findall(r"all\(group\((\w+)\)", yql)),
            min_closeness=1 / (1 + float(far[1])) if far else None,
            filters=filters,
            exclude_ids=barred,
            with_documents=False,
        )

    def _reply(self, content, status=200):
        data = json.dumps({"pathId": urlsplit(self.path).path, **content}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
