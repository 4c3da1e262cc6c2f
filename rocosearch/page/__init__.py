"""The search page: a server, its JSON API, and the page.

build_server.py   builds a server from a searcher and a corpus
server.py         the socket and uvicorn
connection.py     one connection: a deadline for each request, a limit on connections
access.py         access checks: host names, other sites, tokens, lengths
openapi.json      the API: routes and checks are generated from it
specification.py  reads that file, checks requests against it
api.py            one method for each operation
answers.py        runs a request on the searcher, returns plain values
pictures.py       small and large images of documents, read from the corpus
lexicon.py        words and concepts for completion
judgements.py     relevance judgements, stored beside the corpus
map.py            documents as points in a plane
static/           the page itself; it loads nothing from elsewhere
"""
