"""A package onto a server.

changes.py        What a deploy over a running package needs, and its validation overrides
config_server.py  Client of Vespa's config server: deploy, wait, read the running application
deploy.py         Deploy an application package, and wait until it answers queries
"""
