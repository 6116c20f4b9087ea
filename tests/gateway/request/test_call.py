"""The head that goes to a replica."""

import pytest

from gateway.access.key import Key
from gateway.request.call import Call
from gateway.request.endpoints import ENDPOINTS
from gateway.request.head import RequestHead

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def call(*lines: tuple[bytes, bytes]) -> Call:
    head = RequestHead(ENDPOINTS[b"/v1/chat/completions"])
    for name, value in lines:
        head.header(name, value)
    return Call(head, Key(id="k", row=1, name="k"), b"{}")


@pytest.mark.parametrize("offered", [b"trace-42", b"a" * 64, b"A.b:c_d-9"])
def test_an_id_of_the_client_is_kept(offered):
    made = call((b"X-Request-Id", offered))
    assert made.request_id == offered
    assert b"x-request-id: %b\r\n" % offered in made.upstream_head(b"P\r\n", 2)


@pytest.mark.parametrize("offered", [b"", b"a b", b"x" * 65, b"\xe9", b"a\tb", b"a\n"])
def test_a_strange_id_is_replaced(offered):
    made = call((b"x-request-id", offered))
    assert made.request_id.startswith(b"req_")


def test_no_two_requests_get_the_same_id():
    assert len({call().request_id for _ in range(1000)}) == 1000


def test_a_trace_goes_on_with_a_span_of_its_own():
    made = call((b"traceparent", TRACE))
    head = made.upstream_head(b"P\r\n", 2)
    line = next(row for row in head.split(b"\r\n") if row.startswith(b"traceparent: "))
    version, trace, span, flags = line.removeprefix(b"traceparent: ").split(b"-")
    assert (version, trace, flags) == (b"00", b"4bf92f3577b34da6a3ce929d0e0e4736", b"01")
    assert len(span) == 16
    assert span != b"00f067aa0ba902b7"
    assert made.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize("broken", [b"", b"x", TRACE + b"0", TRACE.upper()])
def test_a_broken_trace_is_not_passed_on(broken):
    made = call((b"traceparent", broken))
    assert b"traceparent" not in made.upstream_head(b"P\r\n", 2)
    assert made.trace_id == ""


def test_the_head_ends_with_the_length_and_an_empty_line():
    assert (
        call().upstream_head(b"POST / HTTP/1.1\r\n", 17).endswith(b"\r\ncontent-length: 17\r\n\r\n")
    )
