"""The options by which ``quantsync klines`` adjusts prices."""

from typing import Annotated

import typer

from market.adjustments import Adjustment, AdjustMethod
from market.errors import UsageError

AdjustmentName = Annotated[
    str, typer.Option("--adjust", help="none; qfq: today's prices stay; hfq: the first ones do.")
]
MethodName = Annotated[
    str,
    typer.Option(
        "--method", help="ratio: returns stay true; eastmoney: as Eastmoney and AKShare show it."
    ),
]


def read_names(adjust: str, method: str) -> tuple[Adjustment, AdjustMethod]:
    """Read the words of both options.

    Raises:
        UsageError: No such adjustment or method.
    """
    if adjust not in list(Adjustment):
        raise UsageError(f"--adjust {adjust!r}: use none, qfq or hfq")
    if method not in list(AdjustMethod):
        raise UsageError(f"--method {method!r}: use ratio or eastmoney")
    return Adjustment(adjust), AdjustMethod(method)
