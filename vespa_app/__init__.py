"""The same rank profiles inside Vespa.

doctor.py  Diagnose a server: version, application, documents, free space
engine.py  VespaEngine: a running Vespa application as an engine, over HTTP
package/   the application package: written, and what it will need
read/      a package that is there already, read back
deploy/    a package onto a server
query/     queries to Vespa, and its answers
feed/      documents over /document/v1/
http/      requests to one server, and what goes wrong on the way
"""
