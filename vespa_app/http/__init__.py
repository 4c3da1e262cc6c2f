"""HTTP to a Vespa server, and its config server.

config_server.py  Vespa's config server: deploy a package, wait until it serves, read what run
connection.py     HTTP to a Vespa server: connections kept open, TLS verified, secrets never s
deploy.py         Deploy an application package, and wait until it serves
errors.py         What goes wrong between this process and a Vespa server
retries.py        Trying again: what is safe to repeat, with growing pauses of random length,
streams.py        Many HTTP requests under way at once from one thread, over one HTTP/2 connec
"""
