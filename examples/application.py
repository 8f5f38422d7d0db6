"""Example of an application: prints and acknowledges all delivery reports.

python examples/application.py [PORT]
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Application(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/mail-proxy/sync":
            self.send_error(404)
            return
        for report in json.loads(body)["delivery_report"]:
            print("report:", json.dumps(report), flush=True)
        answer = b'{"ok": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments: object) -> None:
        """Log nothing, so that only the reports are printed."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    HTTPServer(("127.0.0.1", port), Application).serve_forever()
