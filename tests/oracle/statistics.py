"""The detector's formulas once more, with mpmath at 50 digits.

    .venv/bin/python tests/oracle/statistics.py            # prints alerts/tests/statistics.json
    .venv/bin/python tests/oracle/statistics.py --check    # is that file fresh, do others agree?

Nothing here is shared with the product: tests are products of likelihoods, suprema are searched,
intervals come from bisection on likelihoods that are not binned, mixtures are integrated. With
--check the packages `ville` and `savvi` are asked too, where their definitions coincide.
"""
import json
import sys
from pathlib import Path

from mpmath import beta, betainc, binomial, exp, inf, log, mp, mpf, ncdf, nstr, quad, sqrt

mp.dps = 50
RATIOS = 24
ALPHA = mpf("0.01")
GOLDEN = Path(__file__).parents[2] / "alerts/tests/statistics.json"


def number(value):
    return None if value is None else float(nstr(value, 17, min_fixed=-inf, max_fixed=inf))


def bisect(function, low, high, steps=140):
    low, high = mpf(low), mpf(high)
    sign = function(low) > 0
    assert sign != (function(high) > 0), (function(low), function(high))
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if (function(middle) > 0) == sign else (low, middle)
    return low


# --- Rates ---------------------------------------------------------------------------------------
def mixture(r0):
    low, high = mpf("1.1") * mpf(r0), 50 * mpf(r0)
    return [low * (high / low) ** (mpf(j) / (RATIOS - 1)) for j in range(RATIOS)]


def binomial_log_likelihood(terms, r):
    """Of x among x + y in every term, up to a constant."""
    value = mpf(0)
    for x, y, t, c in terms:
        share = r * t / (r * t + c)
        value += x * log(share) + y * log(1 - share)
    return value


def rate_log_e(r0, terms, null):
    at_null = binomial_log_likelihood(terms, mpf(null))
    return log(sum(exp(binomial_log_likelihood(terms, r) - at_null) for r in mixture(r0)) / RATIOS)


def rate_interval(r0, terms):
    floor = log(sum(exp(binomial_log_likelihood(terms, r)) for r in mixture(r0)) / RATIOS) + log(ALPHA)

    def score(ln_r):
        return sum(x - (x + y) * exp(ln_r) * t / (exp(ln_r) * t + c) for x, y, t, c in terms)

    def gap(ln_r):
        return binomial_log_likelihood(terms, exp(ln_r)) - floor

    top = bisect(score, -5, 9)
    return exp(top), exp(bisect(gap, top - 8, top)), exp(bisect(gap, top, top + 8))


def baseline(x0, y0, t0, c0):
    ratio = (mpf(x0) + 10) / (y0 * mpf(t0) / c0 + 10)
    return max(mpf(1), min(mpf(3), ratio))


# --- Attempts ------------------------------------------------------------------------------------
def attempt_likelihood(failed, succeeded, p):
    return (p**failed if failed else mpf(1)) * ((1 - p) ** succeeded if succeeded else mpf(1))


def bounded_log_e(p0, failed, succeeded):
    p0 = mpf(p0)
    null = attempt_likelihood(failed, succeeded, p0)
    peak = max(p0, mpf(failed) / max(failed + succeeded, 1))
    width = mpf(1) / sqrt(mpf(failed + succeeded + 2))
    near = [peak + k * width / 5 for k in range(-30, 31)]
    points = sorted({p0, mpf(1), *[p for p in near if p0 < p < 1]})
    mean = quad(lambda p: attempt_likelihood(failed, succeeded, p) / null, points) / (1 - p0)
    return log(mean)


def largest_at_ratio(treated, control, ratio):
    """max of ln L over p = ratio q, by a search on its derivative."""
    (a, s), (c, d) = treated, control
    top = min(mpf(1), 1 / ratio)
    if a + c == 0:
        return mpf(0)

    def slope(q):
        return (a + c) / q - (ratio * s / (1 - ratio * q) if s else 0) - (d / (1 - q) if d else 0)

    tiny = top * mpf(10) ** -40
    q = top if slope(top - tiny) > 0 else bisect(slope, tiny, top - tiny, 400)
    p = min(ratio * q, mpf(1))
    parts = [(a, p), (s, 1 - p), (c, q), (d, 1 - q)]
    return sum(k * log(v) for k, v in parts if k)


def largest_without_harm(treated, control, ratio):
    p, q = mpf(treated[0]) / sum(treated), mpf(control[0]) / sum(control)
    if p > ratio * q:
        return largest_at_ratio(treated, control, ratio)
    parts = [(treated[0], p), (treated[1], 1 - p), (control[0], q), (control[1], 1 - q)]
    return sum(k * log(v) for k, v in parts if k)


def log_means(treated, control):
    return sum(log(beta(failed + 1, succeeded + 1)) for failed, succeeded in (treated, control))


def compared_log_e(ratio, treated, control):
    return log_means(treated, control) - largest_without_harm(treated, control, mpf(ratio))


def compared_interval(treated, control):
    floor = log_means(treated, control) + log(ALPHA)
    top = log(mpf(treated[0]) / sum(treated) / (mpf(control[0]) / sum(control)))

    def gap(ln_r):
        return largest_at_ratio(treated, control, exp(ln_r)) - floor

    return exp(top), exp(bisect(gap, top - 9, top)), exp(bisect(gap, top, top + 9))


# --- Golden values of the design (detection 7): means of e-values, by exact sums --------------------
def bounded_mean(p, p0=mpf("0.05"), n=200):
    upper = lambda k: beta(k + 1, n - k + 1) * (1 - betainc(k + 1, n - k + 1, 0, p0, regularized=True))
    value = lambda k: upper(k) / (1 - p0) / attempt_likelihood(k, n - k, p0)
    return sum(binomial(n, k) * attempt_likelihood(k, n - k, p) * value(k) for k in range(n + 1))


def block_mean(theta, n=(20, 180), guess=("0.05", "0.005")):
    """2x2 block e-variable (Turner and Gruenwald 2023): E[e] where both arms fail at `theta`."""
    guess = [mpf(g) for g in guess]
    pooled = sum(k * g for k, g in zip(n, guess)) / sum(n)
    mean = mpf(1)
    for k, g in zip(n, guess):
        mean *= (theta * g / pooled + (1 - theta) * (1 - g) / (1 - pooled)) ** k
    return mean


# --- Durations -----------------------------------------------------------------------------------
def boundary(count, alpha, rho=12):
    """Where a half-normal mixture over the slopes of exp(l s - l^2 v / 2), v = t/4, is 1/alpha."""
    v, rho = mpf(count) / 4, mpf(rho)

    def log_mixture(s):
        # 2 sqrt(rho / 2 pi) times the integral over l > 0 of exp(l s - l^2 (v + rho) / 2)
        w = v + rho
        return log(2) + log(rho / w) / 2 + s * s / (2 * w) + log(ncdf(s / sqrt(w)))

    return bisect(lambda s: log_mixture(s) + log(mpf(alpha)), 0, 10 * sqrt(v + rho) + 100)


THREE = [(3, 4, 30_000_000, 570_000_000), (0, 7, 29_000_000, 571_000_000), (5, 1, 60_000, 570_000_000)]
RATE = [
    ("1.0", [(8, 25, 500, 9_500)]),
    ("1.0", [(0, 1, 500, 9_500)]),
    ("1.0", [(1, 0, 1, 1_000_000)]),
    ("1.5", THREE),
    ("3.0", [(400_000, 600_000, 1_000_000_000, 9_000_000_000)]),
    ("1.2", [(40, 900, 700, 8_000), (60, 400, 2_000, 7_000), (9, 3, 3_000, 1_000)]),
]
RATE_INTERVAL = [
    ("1.0", [(8, 25, 500, 9_500)]),
    ("2.0", [(3, 2, 500, 9_500)]),
    ("1.0", [(900, 1_000, 40_000_000, 90_000_000)]),
]
BASELINE = [(0, 0, 100, 400), (30, 20, 100, 400), (42, 70, 200, 800), (900, 40, 100, 200), (1, 1_000, 100, 200)]
BOUNDED = [("0.1", 0, 1), ("0.1", 1, 0), ("0.1", 7, 13), ("0.1", 3, 97), ("0.05", 10, 190), ("0.05", 11, 189),
           ("0.1", 900, 9_100), ("0.1", 1_100, 8_900), ("0.5", 12, 3), ("0.02", 5, 0)]
COMPARED = [
    ("1.25", (8, 8), (25, 475)), ("1.0", (8, 8), (25, 475)), ("1.25", (0, 40), (0, 500)),
    ("1.25", (12, 0), (25, 475)), ("1.25", (3, 97), (25, 475)), ("1.25", (6, 94), (25, 475)),
    ("1.25", (12, 88), (0, 500)), ("1.25", (3_000, 47_000), (40_000, 960_000)), ("1.25", (40, 60), (80, 20)),
]
COMPARED_INTERVAL = [((8, 8), (25, 475)), ((12, 88), (3, 497)), ((30, 970), (400, 9_600))]
BOUNDARY = [(1, "0.005"), (10, "0.005"), (500, "0.005"), (100_000, "0.005"), (5_000_000, "0.0005")]
MEAN = [([0.25, 0.75], [2.0, -1.0]), ([0.1, 0.2, 0.7], [900.0, 901.5, -40.0]), ([0.5, 0.5], [0.0, 0.0])]


def golden():
    cases = []

    def add(formula, given, *expected):
        cases.append({"formula": formula, "in": given, "out": [number(value) for value in expected]})

    for base, terms in RATE:
        r0 = mpf("1.25") * mpf(base)
        log_e, watch = rate_log_e(r0, terms, r0), rate_log_e(r0, terms, base)
        add("rate", [float(base), terms], log_e, watch)
    for base, terms in RATE_INTERVAL:
        add("rate_interval", [float(base), terms], *rate_interval(mpf("1.25") * mpf(base), terms))
    for counts in BASELINE:
        add("baseline", list(counts), baseline(*counts))
    for p0, failed, succeeded in BOUNDED:
        add("bounded", [float(p0), failed, succeeded], bounded_log_e(p0, failed, succeeded))
    for ratio, treated, control in COMPARED:
        add("compared", [float(ratio), treated, control], compared_log_e(ratio, treated, control))
    for treated, control in COMPARED_INTERVAL:
        add("compared_interval", [treated, control], *compared_interval(treated, control))
    for weights, values in MEAN:
        add("mean", [weights, values], log(sum(mpf(w) * exp(mpf(v)) for w, v in zip(weights, values))))
    for count, alpha in BOUNDARY:
        add("boundary", [count, float(alpha)], boundary(count, alpha))
    for p in ("0.01", "0.03", "0.05"):
        add("bounded_mean", [float(p)], bounded_mean(mpf(p)))
    for theta in ("0.0005", "0.005", "0.01", "0.05"):
        add("block_mean", [float(theta)], block_mean(mpf(theta)))
    return cases


# --- What others compute ---------------------------------------------------------------------------
def others_agree():
    import numpy
    from savvi.multinomial import Multinomial
    from ville._boundaries import normal_mixture
    from ville.evalues import combine
    from ville.proportions import BernoulliTest
    from ville.quantiles import QuantileCS

    def close(ours, theirs):
        assert abs(float(ours) - float(theirs)) < 1e-9 * max(1, abs(float(ours))), (ours, theirs)

    def ville_log_e(p0, failed, succeeded):
        outcomes = [1] * failed + [0] * succeeded
        return BernoulliTest(float(p0)).fit(outcomes).log_e_values_[-1]

    def savvi_log_e(p0, failed, succeeded):
        # Beta(1, 1) is its prior only where the null is a half and k = 2.
        test = Multinomial(0.05, numpy.array([float(p0), 1 - float(p0)]), k=2)
        test.update(numpy.array([failed, succeeded]))
        return float(numpy.log(test.odds))

    checked = 0
    for p0, failed, succeeded in BOUNDED:
        # The mixture over all shares is the mean of the one above the bound and the one below it.
        above = exp(bounded_log_e(p0, failed, succeeded))
        below = exp(bounded_log_e(1 - mpf(p0), succeeded, failed))
        both = log((1 - mpf(p0)) * above + mpf(p0) * below)
        close(both, ville_log_e(p0, failed, succeeded))
        if p0 == "0.5":
            close(both, savvi_log_e(p0, failed, succeeded))
            checked += 1
    for ratio, treated, control in COMPARED:
        # At the harmless shares that fit best, each arm's own test; elsewhere it is larger.
        value = compared_log_e(ratio, treated, control)
        shares = [mpf(k) / 1_000 for k in range(1, 799)]
        sums = [
            ville_log_e(min(mpf(ratio) * q, mpf("0.9999")), *treated) + ville_log_e(q, *control)
            for q in shares if sum(treated) + sum(control) < 2_000
        ]
        assert all(float(value) <= total + 1e-9 for total in sums), (ratio, treated, control)
        checked += len(sums)
    for weights, values in MEAN:
        if max(values) < 700:
            ours = sum(mpf(w) * exp(mpf(v)) for w, v in zip(weights, values))
            close(ours, combine([float(exp(mpf(v))) for v in values], weights=weights))
            checked += 1
    for count, alpha in BOUNDARY:
        close(boundary(count, alpha), normal_mixture([count / 4], float(alpha), 12, one_sided=True)[0])
    # The whole band: its ranks are those of QuantileCS with the same mixture, alpha on each side.
    bands = QuantileCS(q=0.9, alpha=0.01, intersect=False)
    bands.rho_ = 12.0
    values = [float(3 * k % 1_000) for k in range(1_000)]
    bands.fit(values)
    stray = boundary(1_000, "0.005")
    ordered = sorted(values)
    assert bands.lower_[-1] == ordered[int(-(-(900 - stray) // 1)) - 1]
    assert bands.upper_[-1] == ordered[int((900 + stray) // 1)]
    assert checked > 3_000, checked


if __name__ == "__main__":
    cases = golden()
    text = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
    if sys.argv[1:] == ["--check"]:
        others_agree()
        assert GOLDEN.read_text() == text, f"{GOLDEN} is stale: print it again"
    else:
        sys.stdout.write(text)
