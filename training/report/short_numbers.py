"""Numbers as short words for tables and figures."""

from __future__ import annotations

ABSENT = "–"


def short(value: float) -> str:
    """Two decimals without the leading zero.

    Examples
    --------
    >>> short(0.456), short(-0.01), short(1.0)
    ('.46', '-.01', '1.00')
    """
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def with_interval(value: float | None, lower: float | None, upper: float | None) -> str:
    """Return a number with its interval, as far as they are known.

    Examples
    --------
    >>> with_interval(0.37, 0.21, 0.5), with_interval(None, None, None)
    ('.37 [.21, .50]', '–')
    """
    if value is None:
        return ABSENT
    return short(value) if lower is None or upper is None else f"{short(value)} [{short(lower)}, {short(upper)}]"


def p_in_words(p_value: float | None) -> str:
    """Return a p value without its leading zero; never 0.

    Examples
    --------
    >>> p_in_words(0.01), p_in_words(0.0004), p_in_words(None), p_in_words(1.0)
    ('.010', '< .001', '–', '1.00')
    """
    if p_value is None:
        return ABSENT
    if p_value < 0.001:
        return "< .001"
    return "1.00" if p_value >= 0.9995 else f"{p_value:.3f}"[1:]
