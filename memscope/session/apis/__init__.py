"""The bodies of model APIs as canonical messages, one module per API; pure functions on decoded JSON.

Each module has `request`, which reads the body of a request, `reply`, which reads the body of a response, and
`streamed`, which reads the events of a streamed response. They need the standard library alone, so that recording an
agent's calls adds next to nothing to its start.
"""
