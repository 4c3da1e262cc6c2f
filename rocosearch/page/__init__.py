"""The search page: a local server, and the page that asks it.

answers.py   a request's parameters -> the searcher -> plain values
pictures.py  a document's id -> a small or a large picture out of the corpus
server.py    routes, limits and headers
static/      the page itself; it loads nothing from elsewhere
"""
