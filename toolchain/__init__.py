"""Puts the pinned tools of this project on this machine: cache, sources, plugins, links.

Owns the per-user cache and `.hearth/bin` and `.hearth/pulumi/plugins` of a checkout. Does not
own what the tools are used for (components, ops) nor the Python environment (bootstrap.sh).
"""
