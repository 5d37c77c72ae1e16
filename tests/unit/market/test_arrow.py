"""PyArrow does without pandas until somebody imports it, and knows it from then on."""

import subprocess
import sys

PROGRAM = """
import sys
import market.bars
import pyarrow as pa

pa.table({"close": pa.array([1.0, None])}).sort_by("close").to_pylist()
assert "pandas" not in sys.modules, "an array brought pandas"

import numpy as np
import pandas as pd

missing = pd.Series([1.0, np.nan])
assert pa.array(missing).null_count == 1, "a series' missing value is no null"
assert pa.Table.from_pandas(missing.to_frame("close"))["close"].null_count == 1
assert "exec_module" not in vars(pd.__spec__.loader), "something is left on the loader"
assert not [each for each in sys.meta_path if type(each).__module__ == "market.arrow"]
"""


def test_arrays_do_not_bring_pandas_and_frames_are_known_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
