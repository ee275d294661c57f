"""The bench's own lab: two network namespaces, pinned processes, columns (proxies), load generators, figures.

Read in this order: lab (namespaces, backends, processes), columns (how a proxy is started), load (what is
sent through it), measure (what one run of a column costs), rows (limits and verdicts), report (what is kept).
"""
