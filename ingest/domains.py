"""Risk domains: which hosts belong to one upstream, so that a ban by one is a ban by all."""

EASTMONEY, SINA, TENCENT = "eastmoney", "sina", "tencent"

_DOMAINS = {
    "eastmoney.com": EASTMONEY,
    "sina.com.cn": SINA,
    "sinajs.cn": SINA,
    "sina.cn": SINA,
    "qq.com": TENCENT,
    "gtimg.cn": TENCENT,
}


def risk_domain(host: str) -> str:
    """The upstream whose ban a request to this host can cause; all its hosts share one budget.

    A host of none of them is a domain of its own.
    """
    for suffix, domain in _DOMAINS.items():
        if host == suffix or host.endswith("." + suffix):
            return domain
    return host
