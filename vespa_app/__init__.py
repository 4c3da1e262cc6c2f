"""The same rank profiles inside Vespa.

doctor.py  what is wrong with a server, in plain words
engine.py  A running application as an engine: `ranking.types.Engine` over HTTP
package/   the application package: written, and what it will need
read/      a package that is there already, read back
deploy/    a package onto a server
query/     queries to Vespa, and its answers
feed/      documents over /document/v1/
http/      requests to one server, and what goes wrong on the way
"""
