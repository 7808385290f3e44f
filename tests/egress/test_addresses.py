from __future__ import annotations

from contextlib import suppress

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from meshroom_tasks.egress import Egress, check_url, is_public, redact
from meshroom_tasks.egress.addresses import _PLAIN, _host_and_port
from meshroom_tasks.errors import AddressNotAllowed, RequestRefused, UrlInvalid

NOWHERE = Egress()

BLOCKED = [
    # loopback in every spelling
    "http://127.0.0.1/",
    "http://127.0.0.1:8000/",
    "https://127.0.0.1/",
    "HTTP://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.2/",
    "http://127.255.255.255/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://0177.1/",
    "http://017700000001/",
    "http://00000000000000000000000000000177.0.0.1/",
    "http://127.0.0.0x1/",
    "http://127.0x0.0.1/",
    "http://127.0.0.1?x",
    "http://127.0.0.1#@example.com",
    "http://%31%32%37.0.0.1/",
    # this host, private networks, carrier NAT, benchmarks, documentation, multicast, reserved
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://00/",
    "http://0.1.2.3/",
    "http://10.0.0.1/",
    "http://10.1/",
    "http://167772161/",
    "http://0xa000001/",
    "http://012.0.0.1/",
    "http://100.64.0.1/",
    "http://100.127.255.254/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.0.0.1/",
    "http://192.0.0.192/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://192.168.1.1/",
    "http://192.168.257/",
    "http://3232235777/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://4294967295/",
    # metadata services
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:80/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.internal./",
    "http://metadata/",
    "http://metadata.goog/",
    "http://instance-data/",
    "http://instance-data.ec2.internal/",
    "http://[fd00:ec2::254]/",
    "http://[fd20:ce::254]/",
    # names of the machine itself and of private networks
    "http://localhost/",
    "http://LOCALHOST:8000/",
    "http://localhost./",
    "http://loc%61lhost/",
    "http://foo.localhost/",
    "http://localhost.localdomain/",
    "http://ip6-localhost/",
    "http://printer.local/",
    "http://db.internal/",
    "http://nas.home.arpa/",
    # IPv6, plain and with an IPv4 address inside
    "http://[::1]/",
    "http://[::1]:8000/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://[::]/",
    "http://[::127.0.0.1]/",
    "http://[::7f00:1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::FFFF:169.254.169.254]/",
    "http://[0:0:0:0:0:ffff:10.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:53aa:64c:0:7a85:80ff:fffe]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[100::1]/",
    "http://[5f00::1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1%25lo]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
]

MALFORMED = [
    "",
    "example.com/a.jpg",
    "//example.com/a.jpg",
    "file:///etc/passwd",
    "ftp://example.com/a.jpg",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stats",
    "data:image/png;base64,AAAA",
    "jar:http://example.com!/",
    "s3://bucket/key",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "http:example.com",
    "http:/example.com",
    "http://",
    "http:///etc/passwd",
    "http:///127.0.0.1/",
    "https://?x",
    "http://:80/",
    "http://./",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://@example.com/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://127.0.0.1\\.example.com/",
    "http://example.com/\\..\\",
    "http://example.com/a b.jpg",
    " http://example.com/",
    "http://example.com/ ",
    "http://exam\tple.com/",
    "http://exam\nple.com/",
    "http://example.com/\r\nHost: 127.0.0.1",
    "http://example.com/\x00",
    "http://example.com/\x7f",
    "http://example.com/\x85",
    "http://example.com/\u2028",
    "http://exam\u200bple.com/",
    "http://127.0\u00ad.0.1/",
    "http://exam\u202eple.com/",
    "http://example.com/\ud800",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:99999999999/",
    "http://example.com:-1/",
    "http://example.com:80:80/",
    "http://example.com:80a/",
    "http://example.com:٨٠/",
    "http://[::1",
    "http://::1/",
    "http://[::1]x/",
    "http://[1.2.3.4]/",
    "http://[]/",
    "http://[v1.x]/",
    "http://[:::1]/",
    # spellings that only some parsers take for 127.0.0.1 or localhost
    "http://１２７.０.０.１/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://127．0．0．1/",
    "http://127｡0｡0｡1/",
    "http://ｌocalhost/",
    # numbers that are no address
    "http://1.2.3.4.5/",
    "http://256.256.256.256/",
    "http://127.0.0.1.1/",
    "http://08.0.0.1/",
    "http://0x/",
    "http://99999999999/",
    "http://*.example.com/",
    "http://.example.com/",
    "http://exa..mple.com:é/",
    "http://example.com%00.evil.org/",
    "http://example.com/" + "a" * 2048,
]

ALLOWED = [
    "http://example.com",
    "https://example.com/photo.jpg",
    "https://example.com:8443/a%20b.jpg?X-Amz-Signature=abc&x=http://127.0.0.1/",
    "https://example.com/größe.jpg",
    "https://bücher.example/",
    "http://8.8.8.8/",
    "http://134744072/",
    "http://172.15.0.1/",
    "http://172.32.0.1/",
    "http://100.63.255.255/",
    "http://100.128.0.1/",
    "http://192.167.1.1/",
    "http://[2606:4700:4700::1111]/",
    "http://[2001:4860:4860::8888]:8080/",
    "http://127.0.0.1.nip.io/",
    "http://localhost.example.com/",
    "http://internal.example.com/#fragment",
    "http://minio:9000/",
    "http://example.com/" + "a" * (2048 - len("http://example.com/")),
]


def test_the_tables_hold_at_least_a_hundred_attacks() -> None:
    assert len(set(BLOCKED)) >= 100
    assert len(set(BLOCKED + MALFORMED)) >= 160


@pytest.mark.parametrize("url", BLOCKED)
def test_blocked(url: str) -> None:
    with pytest.raises(AddressNotAllowed, match=r"^address not allowed$"):
        check_url(url, NOWHERE)


@pytest.mark.parametrize("url", MALFORMED)
def test_malformed(url: str) -> None:
    with pytest.raises(UrlInvalid):
        check_url(url, NOWHERE)


@pytest.mark.parametrize("url", ALLOWED)
def test_allowed(url: str) -> None:
    check_url(url, NOWHERE)


@given(st.text(max_size=60).map("http://{}".format) | st.from_regex(r"https?://[\[\]0-9a-fx.:%@/\\#?]{1,30}"))
def test_anything_is_judged_without_another_error(url: str) -> None:
    with suppress(RequestRefused):
        check_url(url, NOWHERE)


VOUCHED = Egress(frozenset({"127.0.0.1:9000", "minio:9000", "localhost:80", "[fd00::7]:8080"}))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9000/b/k", "http://MINIO:9000/", "http://localhost/", "http://[fd00::7]:8080/"],
)
def test_private_hosts_are_allowed(url: str) -> None:
    check_url(url, VOUCHED)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1:9001/",
        "http://127.1:9000/",
        "http://2130706433:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "https://localhost/",
        "http://localhost:8080/",
        "http://[fd00::8]:8080/",
        "http://[fd00::7]/",
        "http://x.localhost/",
    ],
)
def test_private_hosts_are_exact(url: str) -> None:
    with pytest.raises(AddressNotAllowed):
        check_url(url, VOUCHED)


def test_private_hosts_from_settings() -> None:
    egress = Egress.to(["MinIO:9000", " 127.0.0.1:80 ", "[fd00::7]:8080"])
    assert egress.private_hosts == {"minio:9000", "127.0.0.1:80", "[fd00::7]:8080"}
    assert Egress.to([]) == NOWHERE


@pytest.mark.parametrize(
    "host",
    [
        "minio",
        "minio:",
        ":80",
        "minio:0",
        "minio:123456",
        "http://minio:9000",
        "10.0.0.0/8",
        "*:80",
        "*.lan:80",
        "::1:80",
    ],
)
def test_private_hosts_must_be_exact(host: str) -> None:
    with pytest.raises(ValueError, match="exact host:port"):
        Egress.to([host])


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::ffff:8.8.8.8", "127.0.0.1", "::1", "2002:808:808::1"])
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@Example.com/a.jpg?X-Amz-Signature=secret#frag", "https://example.com/a.jpg?…"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://example.com/a\nb\x1b[0m", "http://example.com/ab�[0m"),
        ("http://[::1", "<malformed URL>"),
        ("http://example.com:99999/", "<malformed URL>"),
        ("http://example.com/" + "a" * 300, "http://example.com/" + "a" * 180 + "…"),
    ],
)
def test_redact(url: str, expected: str) -> None:
    assert redact(url) == expected


@given(st.from_regex(_PLAIN, fullmatch=True).filter(lambda url: len(url) < 200))
def test_plain_urls_have_the_host_that_requests_sends_to(url: str) -> None:
    sent = parse_url(str(requests.Request("GET", url).prepare().url))
    port = sent.port or {"http": 80, "https": 443}[str(sent.scheme)]
    assert _host_and_port(url, 2048) == (sent.host, port)
