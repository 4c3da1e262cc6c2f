"""A package onto a server.

changes.py        What deploying a package over a running one needs, and the overrides for it
config_server.py  Vespa's config server: it takes a package, and tells what runs
deploy.py         Deploy, and wait until queries are answered; Vespa Cloud
"""
