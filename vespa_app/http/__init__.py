"""HTTP to a Vespa server, and what goes wrong on the way.

connection.py     HTTP connections to one server: persistent, TLS verified, secrets hidden
credentials.py    Credentials, and the addresses that they may be sent to
errors.py         The errors of requests to a Vespa server
reply.py          Read an untrusted HTTP answer
retries.py        The retry rule: what is retried, delays with jitter, time limit
streams.py        Concurrent HTTP requests from one thread, by libcurl
"""
