"""Keeps PyArrow from importing pandas before anything asks for pandas itself.

The first ``pa.array`` or ``pa.table`` of a process imports pandas wherever it is installed, to
know its types when it meets them: 0.3 s of CPU and 45 MiB for processes that never hold a frame.
Here it looks for pandas once in vain, and is told as soon as somebody imports pandas.
"""

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pyarrow as pa


class _Lookout(MetaPathFinder):
    """Notices the first import of pandas.

    Attributes:
        hidden_from: The thread to which pandas is not there just now.
    """

    def __init__(self) -> None:
        self.hidden_from: int | None = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != "pandas":
            return None
        if self.hidden_from == threading.get_ident():
            raise ModuleNotFoundError("pandas is not looked for yet", name=fullname)
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _tell_pyarrow_after(spec.loader)
        return spec


def _tell_pyarrow_after(loader: Loader) -> None:
    execute = loader.exec_module

    def execute_and_tell(module: ModuleType) -> None:
        execute(module)
        del loader.exec_module  # of this object: its class's is as it was
        pa.Table.from_pandas(module.DataFrame())  # needs pandas, so it looks again

    loader.exec_module = execute_and_tell  # type: ignore[method-assign]


def _look_in_vain() -> None:
    if "pandas" in sys.modules:
        return
    lookout = _Lookout()
    sys.meta_path.insert(0, lookout)
    pa.array([0])
    lookout.hidden_from = None


_look_in_vain()
