"""The shop's application server: every request reads its row from the database and says who served it."""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pymysql


def product():
    """The first product of the shop, read now."""
    connection = pymysql.connect(
        host=os.environ["DB_HOST"],
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        database=os.environ["DB_NAME"],
        connect_timeout=5,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, price FROM products ORDER BY id LIMIT 1")
        name, price = cursor.fetchone()
    return {"product": name, "price": float(price), "served_by": socket.gethostname()}


class Shop(BaseHTTPRequestHandler):
    """Answers every path with the row, but /health with nothing."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.send_response_only(204)
            self.end_headers()
            return
        try:
            status, answer = 200, product()
        except pymysql.MySQLError as error:
            status, answer = 503, {"error": str(error)}
        body = (json.dumps(answer) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print(f"{os.environ.get('VIRTUAL_HOST', 'web')} listens on 8000", flush=True)
ThreadingHTTPServer(("", 8000), Shop).serve_forever()
