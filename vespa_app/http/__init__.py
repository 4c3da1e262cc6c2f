"""HTTP to a Vespa server, and what goes wrong on the way.

connection.py     Requests to one server, from several threads, over connections kept open
credentials.py    Certificates and token, and the addresses that they may travel to
errors.py         What goes wrong between this process and a Vespa server
reply.py          An HTTP answer, and reading it without trusting it
retries.py        Which requests are sent again, and after which pauses
streams.py        libcurl: requests under way at once, each within its seconds and bytes
"""
