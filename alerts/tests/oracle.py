"""The detector's formulas once more, with mpmath at 50 digits: prints the golden values of the
unit tests in src/detector/{rate,shape,attempt}.rs.

    python3 -m venv .venv && .venv/bin/pip install mpmath && .venv/bin/python tests/oracle.py

Nothing here is shared with the product: the rate test is written as products of likelihoods, the
interval is searched on the unbinned likelihood, the attempt test is a numerical integral.
"""
from mpmath import mp, mpf, log, exp, quad, nstr, inf

mp.dps = 50
J = 24
ALPHA = mpf("0.01")


def ratios(r0):
    low, high = mpf("1.1") * mpf(r0), 50 * mpf(r0)
    return [low * (high / low) ** (mpf(j) / (J - 1)) for j in range(J)]


def likelihood(terms, r):
    """Product over terms of the binomial likelihood of x among x + y, up to a constant."""
    value = mpf(0)
    for x, y, t, c in terms:
        share = r * t / (r * t + c)
        value += x * log(share) + y * log(1 - share)
    return value


def rate_log_e(r0, terms):
    null = likelihood(terms, mpf(r0))
    return log(sum(exp(likelihood(terms, r) - null) for r in ratios(r0)) / J)


def bisect(function, low, high):
    sign = function(low) > 0
    assert sign != (function(high) > 0)
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if (function(middle) > 0) == sign else (low, middle)
    return low


def interval(r0, terms):
    mixture = log(sum(exp(likelihood(terms, r)) for r in ratios(r0)) / J)
    floor = mixture + log(ALPHA)
    gap = lambda ln_r: likelihood(terms, exp(ln_r)) - floor
    score = lambda ln_r: sum(x - (x + y) * exp(ln_r) * t / (exp(ln_r) * t + c) for x, y, t, c in terms)
    top = bisect(score, mpf(-5), mpf(8))
    low, high = bisect(gap, top - 6, top), bisect(gap, top, top + 6)
    return exp(top), exp(low), exp(high)


def attempt_log_e(p0, failed, succeeded):
    p0 = mpf(p0)
    peak = max(p0, mpf(failed) / max(failed + succeeded, 1))
    null = failed * log(p0) + succeeded * log(1 - p0)
    ratio = lambda p: exp(failed * log(p) + succeeded * log(1 - p) - null) if 0 < p < 1 else (
        mpf(1) * ((1 - p0) ** -succeeded if failed == 0 and p == 0 else 0))
    width = mpf(1) / (failed + succeeded + 2) ** mpf("0.5")
    points = sorted({p0, mpf(1), *[p for k in range(-30, 31) if p0 < (p := peak + k * width / 5) < 1]})
    return log(quad(ratio, points) / (1 - p0))


RATE = [
    ("1.25", [(8, 25, 500, 9_500)]),
    ("1.25", [(0, 1, 500, 9_500)]),
    ("1.0", [(1, 0, 1, 1_000_000)]),
    ("2.5", [(3, 4, 30_000_000, 570_000_000), (0, 7, 29_000_000, 571_000_000), (5, 1, 60_000, 570_000_000)]),
    ("3.75", [(400_000, 600_000, 1_000_000_000, 9_000_000_000)]),
]
SHAPE = [
    ("1.25", [(8, 25, 500, 9_500)]),
    ("1.25", [(3, 4, 30_000_000, 570_000_000), (0, 7, 29_000_000, 571_000_000), (5, 1, 60_000, 570_000_000)]),
    ("1.875", [(40, 900, 700, 8_000), (60, 400, 2_000, 7_000), (9, 3, 3_000, 1_000)]),
]
ATTEMPT = [("0.1", 0, 0), ("0.1", 0, 1), ("0.1", 1, 0), ("0.1", 7, 13), ("0.1", 3, 97), ("0.05", 10, 190),
           ("0.05", 11, 189), ("0.1", 900, 9_100), ("0.1", 1_100, 8_900), ("0.5", 12, 3)]


def tuples(terms):
    return "[" + ", ".join("({})".format(", ".join(f"{v:_}" for v in term)) for term in terms) + "]"


def number(value):
    text = nstr(value, 15, min_fixed=-inf, max_fixed=inf)
    return text


if __name__ == "__main__":
    for r0, terms in RATE:
        print(f"rate    check({r0}, &{tuples(terms)}, {number(rate_log_e(r0, terms))});")
    for r0, terms in SHAPE:
        top, low, high = map(number, interval(r0, terms))
        print(f"shape   check({r0}, &{tuples(terms)}, [{top}, {low}, {high}]);")
    for p0, failed, succeeded in ATTEMPT:
        print(f"attempt check({p0}, {failed:_}, {succeeded:_}, {number(attempt_log_e(p0, failed, succeeded))});")
