"""The search page: a server, its JSON API, and the page that asks it.

opening.py        from a searcher and a corpus to a server
server.py         where it listens; uvicorn
connection.py     one connection: a deadline for each request, a cap
guards.py         who is answered: names, other sites, tokens, lengths
openapi.json      what can be asked: routes and checks follow from it
specification.py  that file read, requests checked against it
api.py            one method for each operation
answers.py        a request's values -> the searcher -> plain values
pictures.py       a document's id -> a small or a large picture out of the corpus
lexicon.py        words and concepts that complete what is typed
judgements.py     what was found relevant, kept beside the corpus
map.py            documents as points in a plane
static/           the page itself; it loads nothing from elsewhere
"""
